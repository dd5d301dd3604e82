//! What fuzzing checks, without a fuzzer: every file of the corpora, and what
//! becomes of them when they are damaged.

#[path = "../../fuzz/checks/command.rs"]
mod command;
#[path = "../../fuzz/checks/frame.rs"]
mod frame;
#[path = "../../fuzz/checks/redis.rs"]
mod redis;

use std::{fs, path::Path, sync::LazyLock};

use proptest::{prelude::*, sample::Index};
use rookery::broker::redis::reread;

/// The files of a target by their names.
type Corpus = Vec<(String, Vec<u8>)>;

/// What a target does with bytes.
type Check = fn(&[u8]);

fn corpus(target: &str) -> Corpus {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut files: Vec<_> = files.map(|path| (named(&path), fs::read(&path).unwrap())).collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// The targets, each with what it checks.
const TARGETS: [(&str, Check); 3] =
    [("frame", frame::check), ("command", command::check), ("redis", redis::check)];

/// Those of the targets, in their order.
static CORPORA: LazyLock<Vec<Corpus>> =
    LazyLock::new(|| TARGETS.iter().map(|(target, _)| corpus(target)).collect());

#[test]
fn every_file_of_a_corpus_is_survived() {
    for (target, check) in TARGETS {
        for (_, bytes) in corpus(target) {
            check(&bytes);
        }
    }
}

#[test]
fn every_target_has_a_check_here_and_a_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (folder, suffix) in [("fuzz_targets", ".rs"), ("checks", ".rs"), ("corpus", "")] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|it| it.unwrap().file_name().to_string_lossy().trim_end_matches(suffix).to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["command", "frame", "redis"], "{folder}");
    }
}

/// Else mutations of it would be refused at their first byte.
#[test]
fn the_corpus_of_redis_is_what_nodes_say() {
    let mut kinds = Vec::new();
    for (name, bytes) in corpus("redis") {
        let (&kind, said) = bytes.split_first().unwrap();
        let again = reread(kind, said).unwrap_or_else(|| panic!("{name} is not understood"));
        // Fields may stand in another order there.
        let length = |bytes: &[u8]| bytes.iter().filter(|it| !it.is_ascii_whitespace()).count();
        assert!(length(&again).abs_diff(length(said)) <= 24, "{name} lost something on its way");
        kinds.push(kind);
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, b"cenorsvw");
}

/// Damage to a message: the fates of bytes that went through many hands.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Insert(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    /// Goes on as another message does, from there.
    Splice(Index, Index, Index),
    /// A number grows until no type holds it.
    Grow(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, 1 << (bit % 8))),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        (at(), at()).prop_map(|(from, to)| Damage::Cut(from, to)),
        (at(), at()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        (at(), at(), at()).prop_map(|(at, other, from)| Damage::Splice(at, other, from)),
        at().prop_map(Damage::Grow),
    ]
}

impl Damage {
    fn done_to(&self, mut bytes: Vec<u8>, others: &[(String, Vec<u8>)]) -> Vec<u8> {
        let size = bytes.len();
        let between = |from: &Index, to: &Index| {
            let (from, to) = (from.index(size + 1), to.index(size + 1));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Flip(at, bits) if size > 0 => bytes[at.index(size)] ^= bits,
            Self::Flip(..) => {}
            Self::Insert(at, byte) => bytes.insert(at.index(size + 1), *byte),
            Self::Cut(from, to) => drop(bytes.drain(between(from, to))),
            Self::Repeat(from, to) => {
                let part = bytes[between(from, to)].to_vec();
                bytes.extend(part);
            }
            Self::Splice(at, other, from) => {
                let other = &others[other.index(others.len())].1;
                bytes.truncate(at.index(size + 1));
                bytes.extend(&other[from.index(other.len() + 1)..]);
            }
            Self::Grow(which) => {
                let is_digit = |at: &usize| bytes[*at].is_ascii_digit();
                let digits: Vec<usize> = (0..size).filter(is_digit).collect();
                if !digits.is_empty() {
                    let at = digits[which.index(digits.len())];
                    bytes.splice(at..at, *b"9223372036854775807");
                }
            }
        }
        bytes
    }
}

proptest! {
    // More of them with PROPTEST_CASES.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(20_000)))]

    #[test]
    fn what_was_said_and_then_damaged_is_survived(
        which in any::<Index>(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        for ((_, check), corpus) in TARGETS.iter().zip(&*CORPORA) {
            let mut bytes = corpus[which.index(corpus.len())].1.clone();
            // What leads the bytes (a kind, sizes) stays, that the rest is looked at.
            let lead: Vec<u8> = bytes.drain(..bytes.len().min(2)).collect();
            for damage in &damages {
                bytes = damage.done_to(bytes, corpus);
            }
            check(&[lead, bytes].concat());
        }
    }
}
