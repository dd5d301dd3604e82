//! What the system says of this process; nothing where it does not say.

use std::{fs, sync::OnceLock};

/// How many files and sockets the process has open.
pub(super) fn open_descriptors() -> Option<u64> {
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
pub(super) fn allowed_descriptors() -> Option<u64> {
    static ALLOWED: OnceLock<Option<u64>> = OnceLock::new();
    *ALLOWED.get_or_init(|| rlimit::getrlimit(rlimit::Resource::NOFILE).ok().map(|(soft, _)| soft))
}

/// How many bytes of memory it has in use. Not from `statm`, which counts in
/// pages and does not say how large those are.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}
