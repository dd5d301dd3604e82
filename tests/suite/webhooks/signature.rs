//! The documents' own way to verify a call, run as it stands there.

use std::{fs, path::Path, process::Command};

use super::{KEY, telling};
use crate::harness::{Backend, Call, Directory, TestApp, eventually, now_s};

/// The example of the documents, and the call of it that these arguments make.
fn example(directory: &Directory) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhooks.md");
    let document = fs::read_to_string(path).expect("the document is there");
    let (_, rest) = document.split_once("```js\n").expect("the example begins");
    let (code, _) = rest.split_once("```").expect("the example ends");
    let call = "const [header, body, key, now] = process.argv.slice(2);\n\
                process.exit(isGenuine(header, body, key, Number(now)) ? 0 : 1);\n";
    directory.write("verify.mjs", &format!("{code}\n{call}")).display().to_string()
}

fn is_genuine(example: &str, call: &Call, key: &str, now: u64) -> bool {
    let mut node = Command::new("node");
    node.args([example, call.header("rookery-signature"), &call.body, key, &now.to_string()]);
    node.status().expect("node runs").success()
}

#[tokio::test]
async fn the_example_of_the_documents_tells_genuine_calls_from_others() {
    let directory = Directory::new();
    let example = example(&directory);
    let backend = Backend::start().await;
    let keys = format!("webhooks.keys = [\"an-older-key\", {KEY:?}]\n");
    let settings = telling(&backend).replace(&format!("webhooks.keys = [{KEY:?}]\n"), &keys);
    let _node = TestApp::spawn(&settings).await;
    let call = eventually("a call", async || backend.calls().into_iter().next()).await;
    for key in [KEY, "an-older-key"] {
        assert!(is_genuine(&example, &call, key, now_s()), "{call:?}");
    }
    assert!(!is_genuine(&example, &call, "a stranger's key", now_s()));
    assert!(!is_genuine(&example, &call, KEY, now_s() + 3600), "an old call");
    let mut changed = call.clone();
    changed.body = call.body.replace("reset", "xeset");
    assert_ne!(changed.body, call.body);
    assert!(!is_genuine(&example, &changed, KEY, now_s()));
}
