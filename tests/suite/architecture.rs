//! The documents say what the code is: which module uses which, why each
//! dependency is there, what can be configured. This holds the two together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    iter::Peekable,
    path::{Path, PathBuf},
    str::CharIndices,
};

/// Between these lines `docs/architecture.md` lists the arrows.
const ARROWS: [&str; 2] = ["<!-- arrows -->", "<!-- end of arrows -->"];

/// What a module uses, by the module's name.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder whose names end in `suffix`.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text between backticks: names of modules, files, keys, packages.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the table of arrows, in their order.
fn listed() -> Vec<(String, BTreeSet<String>)> {
    let document = read("docs/architecture.md");
    let (_, rest) = document.split_once(ARROWS[0]).expect("the table of arrows begins");
    let (table, _) = rest.split_once(ARROWS[1]).expect("the table of arrows ends");
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|');
        let module = quoted(cells.next()?).next()?.to_owned();
        Some((module, quoted(cells.next()?).map(str::to_owned).collect()))
    };
    table.lines().filter(|line| line.starts_with('|')).filter_map(row).collect()
}

/// The top-level module that a file below `src` belongs to.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let top = inside.iter().next().unwrap().to_string_lossy();
    let top = top.trim_end_matches(".rs");
    // The program's own files are one module: what the library does not have.
    if matches!(top, "cli" | "probe") { "main".to_owned() } else { top.to_owned() }
}

/// The arrows that the code has: each `crate::x`, alone or in a group, wherever
/// it stands, is one from the file's own top-level module to `x`.
fn used() -> Arrows {
    let sources = files(&root().join("src"), ".rs");
    let mut arrows = Arrows::new();
    for file in &sources {
        arrows.entry(module_of(file)).or_default();
    }
    arrows.remove("lib");
    for file in sources {
        let from = module_of(&file);
        let code = without_text(&read(&file));
        for escape in escapes(&file, &code) {
            assert!(
                !arrows.contains_key(&escape),
                "{}: across modules, paths begin with `crate::`, not with `super::`",
                file.display()
            );
        }
        for to in roots(&code) {
            if to != from && arrows.contains_key(&to) {
                arrows.get_mut(&from).unwrap().insert(to);
            }
        }
    }
    arrows
}

/// The first names of all paths that begin with `crate::` (in the program:
/// `rookery::`).
fn roots(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "rookery::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|it| it.is_alphanumeric() || it == '_') {
                continue;
            }
            let rest = code[at + start.len()..].trim_start();
            match rest.strip_prefix('{') {
                Some(group) => found.extend(members(group)),
                None => found.extend(first_name(rest)),
            }
        }
    }
    found
}

/// What a file reaches by going up as many times as it stands deep.
fn escapes(file: &Path, code: &str) -> Vec<String> {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let depth = inside.iter().filter(|part| *part != "mod.rs").count();
    let up = "super::".repeat(depth);
    code.match_indices(&up).filter_map(|(at, _)| first_name(&code[at + up.len()..])).collect()
}

/// The first names within a group, up to the brace that ends it.
fn members(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut names = Vec::new();
    let mut begins = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            _ if begins && !character.is_whitespace() => {
                begins = false;
                names.extend(first_name(&group[at..]));
            }
            _ => {}
        }
    }
    names
}

fn first_name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Code without its comments and without what stands in its literals.
fn without_text(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let ahead = &source[at..];
        let literal_of_bytes = ahead.starts_with("br\"") || ahead.starts_with("br#");
        let in_word = code.ends_with(|it: char| it.is_alphanumeric() || it == '_');
        if ahead.starts_with("//") {
            skip_to(&mut rest, at + ahead.find('\n').unwrap_or(ahead.len()));
        } else if ahead.starts_with("/*") {
            skip_to(&mut rest, at + ahead.find("*/").map_or(ahead.len(), |end| end + 2));
        } else if !in_word
            && (ahead.starts_with("r\"") || ahead.starts_with("r#") || literal_of_bytes)
        {
            let opening = ahead.find('"').unwrap_or(0);
            let closing = format!("\"{}", "#".repeat(ahead[..opening].matches('#').count()));
            let body = &ahead[opening + 1..];
            let end = body.find(&closing).map_or(body.len(), |end| end + closing.len());
            skip_to(&mut rest, at + opening + 1 + end);
        } else if character == '"' {
            while let Some((_, inside)) = rest.next() {
                match inside {
                    '\\' => drop(rest.next()),
                    '"' => break,
                    _ => {}
                }
            }
        } else if character == '\'' {
            // A character, or the begin of a lifetime.
            let mut following = ahead.chars().skip(1);
            match (following.next(), following.next()) {
                (Some('\\'), _) => {
                    let end = ahead[3..].find('\'').map_or(ahead.len(), |end| end + 4);
                    skip_to(&mut rest, at + end);
                }
                (Some(one), Some('\'')) => skip_to(&mut rest, at + 2 + one.len_utf8()),
                _ => {}
            }
        } else {
            code.push(character);
        }
    }
    code
}

fn skip_to(rest: &mut Peekable<CharIndices<'_>>, end: usize) {
    while rest.next_if(|(at, _)| *at < end).is_some() {}
}

#[test]
fn the_code_uses_the_arrows_that_the_architecture_lists_and_no_others() {
    let listed: Arrows = listed().into_iter().collect();
    let used = used();
    let mut wrong = Vec::new();
    for (from, targets) in &used {
        match listed.get(from) {
            Some(known) => {
                let extra = targets.difference(known);
                wrong.extend(extra.map(|to| format!("`{from}` uses `{to}`, which is not listed")));
                let unused = known.difference(targets);
                wrong.extend(unused.map(|to| format!("`{from}` → `{to}` is listed, but not used")));
            }
            None => wrong.push(format!("`{from}` is not listed")),
        }
    }
    let gone = listed.keys().filter(|from| !used.contains_key(*from));
    wrong.extend(gone.map(|from| format!("`{from}` is listed, but is no module")));
    assert!(wrong.is_empty(), "docs/architecture.md: {wrong:#?}");
}

/// Each module uses only those that stand above it: so there is no cycle, and
/// the table can be read from top to bottom.
#[test]
fn arrows_point_one_way() {
    let mut above = BTreeSet::new();
    for (module, targets) in listed() {
        let backwards: Vec<_> = targets.difference(&above).collect();
        assert!(backwards.is_empty(), "`{module}` stands above {backwards:?}, which it uses");
        above.insert(module);
    }
    assert!(above.len() > 10, "the table was not found: {above:?}");
}

#[test]
fn every_dependency_has_its_reason_and_no_other_is_listed() {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let document = read("docs/architecture.md");
    let (_, table) = document.split_once("## Dependencies").expect("the table of dependencies");
    let row = |line: &str| Some(quoted(line.strip_prefix('|')?).next()?.to_owned());
    let reasons: BTreeSet<String> = table.lines().filter_map(row).collect();
    let there: BTreeSet<String> = ["dependencies", "dev-dependencies"]
        .iter()
        .flat_map(|section| manifest[*section].as_table().unwrap().keys().cloned())
        .collect();
    let unlike: Vec<_> = reasons.symmetric_difference(&there).collect();
    assert!(unlike.is_empty(), "only in one of Cargo.toml and docs/architecture.md: {unlike:?}");
}

#[test]
fn every_key_of_the_configuration_is_explained_to_operators() {
    let defaults: toml::Table = toml::from_str(&read("config.toml")).unwrap();
    let document = read("docs/operations.md");
    for (section, keys) in &defaults {
        for key in keys.as_table().unwrap().keys() {
            let name = format!("`{section}.{key}`");
            assert!(document.contains(&name), "docs/operations.md does not name {name}");
        }
    }
}

/// A file that the documents name, or link to, exists.
#[test]
fn documents_name_files_that_exist() {
    let mut documents = files(&root().join("docs"), ".md");
    documents.extend(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for document in documents {
        let text = read(&document);
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        let folders = ["src/", "tests/", "static/", "docs/", "fuzz/", ".ci/", "deploy/"];
        let is_path = |it: &&str| folders.iter().any(|folder| it.starts_with(folder));
        for path in quoted(&text).filter(is_path).filter(|it| !it.contains(['*', ' ', '<'])) {
            assert!(root().join(path).exists(), "{name} names `{path}`");
        }
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let path = document.parent().unwrap().join(target);
                assert!(path.exists(), "{name} links to {target}");
            }
        }
    }
}

/// Every test that the table of threats names is there.
#[test]
fn the_threats_name_tests_that_exist() {
    let mut sources: String = ["src", "tests/suite"]
        .iter()
        .flat_map(|it| files(&root().join(it), ".rs"))
        .map(read)
        .collect();
    let browser = fs::read_dir(root().join("tests/browser")).unwrap();
    let modules = browser.map(|entry| entry.unwrap().path());
    sources.extend(modules.filter(|it| it.extension().is_some_and(|it| it == "mjs")).map(read));
    let document = read("docs/security.md");
    let mut rows = 0;
    for line in document.lines().filter(|line| line.starts_with("| ") && !line.contains("| --- |"))
    {
        let Some((_, tests)) = line.trim_end_matches(" |").rsplit_once(" | ") else { continue };
        if tests == "test" {
            continue;
        }
        rows += 1;
        assert!(quoted(tests).next().is_some(), "no test is named in: {line}");
        for test in quoted(tests) {
            // Tests of pages have names of their own for `test`, such as `adminTest`.
            let there = [format!("fn {test}("), format!("est(\"{test}\"")];
            let there = there.iter().any(|it| sources.contains(it));
            assert!(there, "docs/security.md names the test `{test}`");
        }
    }
    assert!(rows > 30, "the tables were not found: {rows} rows");
}

#[test]
fn paths_are_found_in_code_alone() {
    let source = r##"
        use crate::{
            alpha::{self, Inner}, // crate::comment
            beta,
        };
        use crate::gamma::Name;
        fn quote(c: char) -> &'static str {
            match c { '"' => "crate::text", '\'' => r#"crate::raw " "#, _ => delta() }
        }
        fn delta() { crate::epsilon::call::<crate::zeta::T>(); mycrate::eta(); }
    "##;
    let found: Vec<String> = roots(&without_text(source)).into_iter().collect();
    assert_eq!(found, ["alpha", "beta", "epsilon", "gamma", "zeta"]);
}
