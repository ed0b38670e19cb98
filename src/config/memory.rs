//! How much memory the process may take, as its control group says.

use std::{fs, path::Path};

/// What the store may take where nothing limits the process, and never more unless asked for.
const MOST: u64 = 256 << 20;
/// Below this a store is of no use; a container that small fails for other reasons.
const LEAST: u64 = 1 << 20;

/// `max_bytes = "auto"`: a quarter of what the process may take, at most 256 MiB and at least 1 MiB.
pub(super) fn auto_bytes(limit: Option<u64>) -> u64 {
    limit.map_or(MOST, |limit| (limit / 4).clamp(LEAST, MOST))
}

/// The smallest limit of our own control group and those above it; `None` where there is none.
pub(super) fn limit() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_of(&membership, |path| fs::read_to_string(path).ok())
}

/// `membership` is `/proc/self/cgroup`: a line `hierarchy:controllers:path` each, with `0::path` for version 2
/// (cgroups(7)). Inside a container the path is often one of the host's and not there: the groups above it are.
fn limit_of(membership: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let group = |is_memory: fn(&str) -> bool| {
        membership.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            is_memory(controllers).then_some(path)
        })
    };
    let smallest = |root: &str, group: &str, file: &str| {
        let group = Path::new(group.trim_start_matches('/'));
        let limits = group.ancestors().filter_map(|group| read(&Path::new(root).join(group).join(file)));
        limits.filter_map(|limit| limit.trim().parse().ok()).min()
    };
    let second = group(str::is_empty).and_then(|path| smallest("/sys/fs/cgroup", path, "memory.max"));
    second.or_else(|| {
        let first = group(|controllers| controllers.split(',').any(|name| name == "memory"))?;
        smallest("/sys/fs/cgroup/memory", first, "memory.limit_in_bytes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_the_smaller_of_256_mib_and_a_quarter() {
        assert_eq!(auto_bytes(None), 256 << 20);
        assert_eq!(auto_bytes(Some(u64::MAX)), 256 << 20);
        assert_eq!(auto_bytes(Some(1 << 30)), 256 << 20);
        assert_eq!(auto_bytes(Some(512 << 20)), 128 << 20);
        assert_eq!(auto_bytes(Some(0)), 1 << 20);
    }

    fn limit_with(membership: &str, files: &[(&str, &str)]) -> Option<u64> {
        let read = |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).into());
        limit_of(membership, read)
    }

    #[test]
    fn the_smallest_limit_up_to_the_root_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/memory.max", "2000\n"),
        ];
        assert_eq!(limit_with("0::/a/b\n", &files), Some(1000));
        assert_eq!(limit_with("0::/other\n", &files), Some(2000));
    }

    #[test]
    fn version_1_counts_where_version_2_has_no_limit() {
        let membership = "9:name=systemd:/\n4:cpu,memory:/docker/x\n0::/\n";
        let first = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n");
        assert_eq!(limit_with(membership, &[first]), Some(3000));
        assert_eq!(limit_with(membership, &[first, ("/sys/fs/cgroup/memory.max", "5000\n")]), Some(5000));
    }

    #[test]
    fn without_limits_there_is_none() {
        assert_eq!(limit_with("0::/\n", &[("/sys/fs/cgroup/memory.max", "max\n")]), None);
        assert_eq!(limit_with("", &[]), None);
        assert_eq!(limit_with("no colons\n:\n", &[]), None);
    }
}
