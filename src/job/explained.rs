//! Asking the database about one query: what `[query.explain]` does on its own, now.

use serde_json::{Value, json};

use crate::{
    explain::{Answer, Explainer},
    query::{explain::Verdict, fingerprint::Fingerprint},
    task::{Failure, Reason},
};

/// Asks. What came of it, as JSON.
///
/// # Errors
/// When the database is not asked, or does not answer.
pub(super) async fn run(explainer: &Explainer, id: Fingerprint) -> Result<Value, Failure> {
    let answer = explainer.ask(id).await.map_err(|why| Failure::new(Reason::Error, why))?;
    Ok(json(id, &answer))
}

fn json(id: Fingerprint, answer: &Answer) -> Value {
    let Answer { question, verdict, plan } = answer;
    let plan = plan.as_ref().map(|plan| {
        let scan = |scan: &crate::query::explain::Scan| {
            json!({
                "table": format!("{}.{}", scan.schema, scan.table),
                "condition": scan.condition,
                "rows": scan.rows,
                "cost": scan.cost,
            })
        };
        let scans: Vec<Value> = plan.scans.iter().map(scan).collect();
        json!({ "cost": plan.cost, "scans": scans, "indexes": plan.indexes })
    });
    let proposal = match verdict {
        Verdict::Missing(proposal) => json!({
            "statement": proposal.statement(),
            "table_rows": proposal.rows,
            "table_bytes": proposal.bytes,
            "wanted_rows": proposal.wanted,
            "cost": proposal.proof.map(|proof| proof.before),
            "cost_with_index": proposal.proof.map(|proof| proof.after),
        }),
        _ => Value::Null,
    };
    json!({
        "kind": "query_explain",
        "query_id": id.to_string(),
        "query": *question.shape,
        "index": { "verdict": verdict.name(), "because": verdict.to_string() },
        "plan": plan,
        "proposal": proposal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{
        explain::{Plan, Question, Scan},
        fingerprint::Kind,
    };

    #[test]
    fn an_answer_has_its_plan() {
        let scan = Scan {
            schema: "public".into(),
            table: "items".into(),
            alias: "items".into(),
            condition: "(order_id = $1)".into(),
            rows: 4.0,
            cost: 70.5,
            joins: false,
        };
        let question = Question { id: Fingerprint(7), shape: "SELECT ?".into(), kind: Kind::Select, database: None };
        let plan = Plan { cost: 71.0, scans: vec![scan], indexes: Vec::new() };
        let json = json(Fingerprint(7), &Answer { question, verdict: Verdict::Fine, plan: Some(plan) });
        assert_eq!(json["query_id"], "q_0000000000000007");
        assert_eq!(json["index"]["verdict"], "fine");
        assert_eq!((&json["plan"]["cost"], &json["plan"]["scans"][0]["table"]), (&71.0.into(), &"public.items".into()));
        assert_eq!(json["proposal"], Value::Null);
    }
}
