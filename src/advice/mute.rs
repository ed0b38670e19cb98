//! What is left out of what is advised: by the configuration, and besides until the process ends.

use std::collections::HashSet;

use parking_lot::Mutex;

/// Findings and kinds that somebody has muted in this process, in the order in which that was done.
#[derive(Debug, Default)]
pub struct Muted(Mutex<Vec<String>>);

/// As many are muted as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Muted {
    /// As many are remembered.
    pub const MOST: usize = 1000;
    /// Characters of one at most.
    pub const LONGEST: usize = 400;

    /// Mutes what has this name, an id or a kind.
    ///
    /// # Errors
    /// When there are [`Muted::MOST`] already.
    pub fn mute(&self, name: &str) -> Result<(), Full> {
        let mut muted = self.0.lock();
        if muted.iter().any(|known| known == name) {
            return Ok(());
        }
        if muted.len() >= Self::MOST {
            return Err(Full);
        }
        muted.push(name.to_owned());
        Ok(())
    }

    /// Takes back what was muted here by this very name.
    pub fn unmute(&self, name: &str) {
        self.0.lock().retain(|known| known != name);
    }

    /// Everything that is muted, each once: what the configuration names, and then what was muted here.
    pub fn and(&self, configured: &[String]) -> Vec<String> {
        let muted = self.0.lock();
        let mut seen = HashSet::new();
        configured.iter().chain(muted.iter()).filter(|name| seen.insert(*name)).cloned().collect()
    }
}

/// The one of these names that mutes a finding of this id: the id itself, or its kind.
pub fn muting<'a>(names: &'a [String], id: &str) -> Option<&'a str> {
    let kind = id.split_once(':').map_or(id, |(kind, _)| kind);
    names.iter().map(String::as_str).find(|name| *name == id || *name == kind)
}

/// The lines of a configuration that mute these. They have no control characters.
pub fn mute_lines(names: &[String]) -> String {
    let quoted = |name: &String| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    let names: Vec<String> = names.iter().map(quoted).collect();
    format!("[advice]\nmute = [{}]\n", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_no_more() {
        let muted = Muted::default();
        for n in 0..Muted::MOST {
            assert_eq!(muted.mute(&format!("errors:GET /{n}")), Ok(()));
        }
        assert_eq!(muted.mute("errors"), Err(Full));
        assert_eq!(muted.mute("errors:GET /7"), Ok(()), "it is muted already");
        muted.unmute("errors:GET /7");
        assert_eq!(muted.mute("errors"), Ok(()));
        assert_eq!(muted.and(&["errors".into()]).len(), Muted::MOST);
    }
}
