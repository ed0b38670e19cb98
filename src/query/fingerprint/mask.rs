//! Names in statements that are shown to nobody, such as those of tenants.

/// What stands for a name that is not shown.
pub(super) const MASKED: &str = "masked";

/// A longer one matches no name.
const LONGEST: usize = 128;

/// A pattern of names that are not shown, such as `tenant_*`: `*` stands for any characters, and large letters are as good
/// as small ones, since SQL does not tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Box<str>);

impl Mask {
    /// # Errors
    /// When it is empty, longer than names are, or nothing but stars, which would hide everything.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let is_possible = text.len() <= LONGEST && text.chars().all(|one| !one.is_control());
        let says_something = text.chars().any(|one| one != '*');
        if is_possible && says_something { Ok(Self(text.into())) } else { Err("expected a name such as \"tenant_*\"") }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes time in proportion to the product of both lengths at most, and no memory.
    fn matches(&self, name: &str) -> bool {
        let (mask, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut m, mut n) = (0, 0);
        // Where to go on when what follows the last star does not match: behind it, one further in the name.
        let mut star: Option<(usize, usize)> = None;
        while let Some(byte) = name.get(n) {
            match mask.get(m) {
                Some(b'*') => {
                    m += 1;
                    star = Some((m, n));
                }
                Some(one) if one.eq_ignore_ascii_case(byte) => (m, n) = (m + 1, n + 1),
                _ => {
                    let Some((after, at)) = star else { return false };
                    star = Some((after, at + 1));
                    (m, n) = (after, at + 1);
                }
            }
        }
        mask[m..].iter().all(|byte| *byte == b'*')
    }
}

/// Whether a name without its quotes is not to be shown.
pub(super) fn hides(masks: &[Mask], name: &str) -> bool {
    masks.iter().any(|mask| mask.matches(name))
}

/// A name as its source has it, be it of a table with its schema or anything else, as far as it may be shown.
pub fn shown(name: &str, masks: &[Mask]) -> String {
    if masks.is_empty() {
        return name.to_owned();
    }
    let parts = name.split('.').map(|part| {
        if hides(masks, part.trim().trim_matches(['"', '`', '[', ']'])) {
            MASKED.to_owned()
        } else {
            words(part, masks)
        }
    });
    parts.collect::<Vec<_>>().join(".")
}

/// A text without the words that are not to be shown.
fn words(text: &str, masks: &[Mask]) -> String {
    let is_word = |one: char| one.is_alphanumeric() || matches!(one, '_' | '$');
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|one| !is_word(one)).unwrap_or(rest.len()));
        let (between, after) = after.split_at(after.find(is_word).unwrap_or(after.len()));
        shown.push_str(if hides(masks, word) { MASKED } else { word });
        shown.push_str(between);
        rest = after;
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::{
        super::{Dialect, Key, fingerprint, fingerprint_masked, normalise, normalise_masked},
        *,
    };

    fn masks(texts: &[&str]) -> Vec<Mask> {
        texts.iter().map(|text| Mask::new(text).unwrap()).collect()
    }

    #[test]
    fn patterns() {
        for (mask, name, expected) in [
            ("tenant_*", "tenant_1", true),
            ("tenant_*", "TENANT_1", true),
            ("Tenant_*", "tenant_", true),
            ("tenant_*", "a_tenant_1", false),
            ("*_tenant", "a_tenant", true),
            ("*_tenant", "a_tenant_tenant", true),
            ("a*b*c", "a_b_b_c", true),
            ("a*b*c", "a_c_b", false),
            ("tenant", "tenant", true),
            ("tenant", "tenants", false),
            ("mieter_é*", "mieter_éa", true),
        ] {
            assert_eq!(Mask::new(mask).unwrap().matches(name), expected, "{mask} {name}");
        }
        for mask in ["", "*", "***", "a\nb", &"a".repeat(129)] {
            assert!(Mask::new(mask).is_err(), "{mask:?}");
        }
    }

    #[test]
    fn names_in_statements() {
        let masks = masks(&["tenant_*", "*_secret"]);
        for (text, expected) in [
            ("select a from tenant_1.users where id = 7", "select a from masked.users where id = ?"),
            ("select a from \"tenant_2\".users where id = 7", "select a from masked.users where id = ?"),
            ("select a from TENANT_3.users where id = 7", "select a from masked.users where id = ?"),
            ("set search_path to tenant_1, public", "set search_path to masked, public"),
            ("select a from users where top_secret = 1", "select a from users where masked = ?"),
            ("select x::tenant_1.money from t", "select x::masked.money from t"),
            ("select tenant_1.f(a) from t", "select masked.f(a) from t"),
            ("select a from tenants where tenant = 1", "select a from tenants where tenant = ?"),
            ("select a from t", "select a from t"),
        ] {
            assert_eq!(normalise_masked(text, Dialect::Postgres, &masks), expected, "{text}");
        }
        // Words of SQL are no names, though a pattern may match them.
        let shape = normalise_masked("select s from s_1 where a = 1", Dialect::Postgres, &[Mask::new("s*").unwrap()]);
        assert_eq!(shape, "select masked from masked where a = ?");
    }

    #[test]
    fn names_of_sources() {
        let masks = masks(&["tenant_*", "big corp"]);
        for (name, expected) in [
            ("users", "users"),
            ("tenant_1", "masked"),
            ("tenant_1.users", "masked.users"),
            ("`tenant_1`.`users`", "masked.`users`"),
            ("\"Big Corp\".users", "masked.users"),
            ("orders of tenant_1, by day", "orders of masked, by day"),
            ("", ""),
        ] {
            assert_eq!(shown(name, &masks), expected, "{name}");
        }
        assert_eq!(shown("tenant_1", &[]), "tenant_1");
    }

    fn dialect() -> impl Strategy<Value = Dialect> {
        select(vec![Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Unknown])
    }

    /// A statement with places for names.
    fn statement() -> impl Strategy<Value = String> {
        let part = select(
            "select from where {} {}.users \"{}\" `{}` [{}] ({} , . = 1 'x' '{}' ::{} $1 :{} @{} @@{} $${}$$ -- /*{}*/ \n {}'s' x{} \
             insert into values order by ; # % E'{}'"
                .split(' ')
                .collect::<Vec<_>>(),
        );
        vec(part, 0..20).prop_map(|parts| parts.join(" "))
    }

    proptest! {
        #[test]
        fn what_matches_is_never_shown(text in statement(), name in "[a-z0-9]{1,6}", dialect in dialect()) {
            let masks = masks(&["*zq_*"]);
            let shape = normalise_masked(&text.replace("{}", &format!("zq_{name}")), dialect, &masks);
            prop_assert!(!shape.contains("zq_"), "{shape}");
            // Nor does it make a difference.
            let other = text.replace("{}", "zq_0");
            prop_assert_eq!(&normalise_masked(&other, dialect, &masks), &shape);
            let key = Key::default();
            let id = |text: &str| fingerprint_masked(text, dialect, &key, &masks).id;
            prop_assert_eq!(id(&other), id(&text.replace("{}", &format!("zq_{name}"))));
            // The number is that of what is shown.
            prop_assert_eq!(id(&other), id(&shape));
        }

        #[test]
        fn without_masks_nothing_changes(text in statement(), dialect in dialect()) {
            let text = text.replace("{}", "a");
            prop_assert_eq!(normalise_masked(&text, dialect, &masks(&["zzz*"])), normalise(&text, dialect));
            let key = Key::default();
            let masked = fingerprint_masked(&text, dialect, &key, &masks(&["zzz*"]));
            prop_assert_eq!(masked, fingerprint(&text, dialect, &key));
        }

        #[test]
        fn odd_names_are_no_danger(mask in "[a*é]{1,9}", name in ".{0,20}") {
            if let Ok(mask) = Mask::new(&mask) {
                let shown = shown(&name, std::slice::from_ref(&mask));
                prop_assert!(shown == name || shown.contains(MASKED));
            }
        }
    }
}
