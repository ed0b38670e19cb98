//! What the kernel says of this process, under the names that every exporter gives it.
//!
//! The collector of the crate `prometheus` reads the same files, but counts CPU time in whole seconds.

use procfs::{
    boot_time_secs, page_size,
    process::{LimitValue, Process},
    ticks_per_second,
};

use crate::admin::exposition::Exposition;

/// Seconds of CPU time that the process has taken, in user and system mode; `None` where /proc is hidden.
pub(in crate::admin) fn cpu_seconds() -> Option<f64> {
    let stat = Process::myself().and_then(|process| process.stat()).ok()?;
    Some(seconds(stat.utime + stat.stime))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / ticks_per_second() as f64
}

/// The families that the kernel tells of. What cannot be read is left out: where /proc is hidden, everything.
pub(super) fn families(exposition: &mut Exposition) {
    let Ok(process) = Process::myself() else { return };
    if let Ok(stat) = process.stat() {
        let cpu = seconds(stat.utime + stat.stime);
        exposition.process_counter("cpu_seconds_total", "Seconds of CPU time, in user and system mode.", cpu);
        let resident = (stat.rss * page_size()) as f64;
        exposition.process_gauge("resident_memory_bytes", "Bytes of memory that are in RAM.", resident);
        exposition.process_gauge("virtual_memory_bytes", "Bytes of address space.", stat.vsize as f64);
        exposition.process_gauge("threads", "Threads of the operating system.", stat.num_threads as f64);
        if let Ok(boot) = boot_time_secs() {
            let started = boot as f64 + seconds(stat.starttime);
            exposition.process_gauge("start_time_seconds", "When it began, in seconds since 1970.", started);
        }
    }
    if let Ok(open) = process.fd_count() {
        exposition.process_gauge("open_fds", "File descriptors that are open.", open as f64);
    }
    if let Ok(LimitValue::Value(most)) = process.limits().map(|limits| limits.max_open_files.soft_limit) {
        exposition.process_gauge("max_fds", "File descriptors that may be open.", most as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::admin::metrics::tests::{series, value};

    #[test]
    fn this_process_is_as_it_is() {
        let mut exposition = Exposition::default();
        families(&mut exposition);
        let text = exposition.text().unwrap();
        assert_eq!(series(&text).len(), 7, "{text}");
        let of = |name: &str| value(&text, &format!("process_{name}"));
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count() as f64;
        assert!(of("open_fds") >= 3.0 && (of("open_fds") - descriptors).abs() < 100.0, "{text}");
        assert!(of("max_fds") >= of("open_fds"), "{text}");
        assert!(of("resident_memory_bytes") > 1e6, "{text}");
        assert!(of("virtual_memory_bytes") >= of("resident_memory_bytes"), "{text}");
        assert!(of("threads") >= 1.0, "{text}");
        assert!(of("cpu_seconds_total") >= 0.0, "{text}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - of("start_time_seconds");
        assert!((-2.0..86_400.0).contains(&age), "began {age} s ago:\n{text}");
    }
}
