//! What the system says of this process; nothing where it does not say.

use std::{
    fs,
    path::Path,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How many files and sockets the process has open.
pub(crate) fn open_descriptors() -> Option<u64> {
    const LISTING: &str = "/proc/self/fd";
    // Linux 6.2 and later give their number as the listing's size; to count
    // them one by one costs the more, the more there are.
    let size = fs::metadata(LISTING).ok()?.len();
    if size > 0 {
        return Some(size);
    }
    // The listing itself is one of them.
    fs::read_dir(LISTING).ok().map(|listing| (listing.count() as u64).saturating_sub(1))
}

/// How many it may have open; the start raises that to what it can be.
pub(crate) fn allowed_descriptors() -> Option<u64> {
    static ALLOWED: OnceLock<Option<u64>> = OnceLock::new();
    *ALLOWED.get_or_init(|| rlimit::getrlimit(rlimit::Resource::NOFILE).ok().map(|(soft, _)| soft))
}

/// How many bytes of memory it has in use. Not from `statm`, which counts in
/// pages and does not say how large those are.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

/// How many bytes of memory its control group may have, and those that it is in;
/// none where that is not bounded. Of the second version of control groups.
pub(crate) fn allowed_memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let group = root.join(own);
    let within = group.ancestors().take_while(|group| group.starts_with(root));
    // "max" is no number, and the root has no such file.
    let limit = |group: &Path| fs::read_to_string(group.join("memory.max")).ok();
    within.filter_map(limit).filter_map(|limit| limit.trim().parse().ok()).min()
}

/// How many ticks the kernel counts in a second, where it shows them to programs:
/// the same on every machine that Rust's Linux targets run on.
const TICKS: u64 = 100;

/// How long the process has kept processors busy, all of its threads together.
pub(crate) fn processor_time() -> Option<Duration> {
    let (user, system) = (stat(USER)?, stat(SYSTEM)?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

/// When the process began.
pub(crate) fn began() -> Option<SystemTime> {
    static BEGAN: OnceLock<Option<SystemTime>> = OnceLock::new();
    *BEGAN.get_or_init(|| {
        let kernel = fs::read_to_string("/proc/stat").ok()?;
        let booted = kernel.lines().find_map(|line| line.strip_prefix("btime "))?;
        let booted = UNIX_EPOCH + Duration::from_secs(booted.trim().parse().ok()?);
        Some(booted + Duration::from_millis(stat(START)? * 1000 / TICKS))
    })
}

// Places in /proc/self/stat, counted from behind the program's name: that may have
// spaces and brackets in it.
const USER: usize = 11;
const SYSTEM: usize = 12;
const START: usize = 19;

fn stat(place: usize) -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_process() {
        assert!(open_descriptors().unwrap() >= 3);
        assert!(allowed_descriptors().unwrap() >= open_descriptors().unwrap());
        assert!(resident_bytes().unwrap() > 1 << 20);
        let lived = SystemTime::now().duration_since(began().unwrap()).unwrap();
        // A test's process began lately, and cannot have worked before.
        assert!(lived < Duration::from_secs(24 * 3600), "{lived:?}");
        let worked = processor_time().unwrap();
        assert!(worked < (lived + Duration::from_secs(2)) * 1024, "{worked:?} of {lived:?}");
    }
}
