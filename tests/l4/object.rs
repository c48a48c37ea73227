//! The packet programs in `assets/` are those of the sources in `bpf/`.

use std::path::Path;
use std::process::Command;

#[test]
fn the_committed_object_is_what_the_sources_make() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::TempDir::new().unwrap();
    let built = dir.path().join("l4.bpf.o");
    let output = Command::new(root.join("bpf/build")).arg(&built).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        std::fs::read(&built).unwrap() == std::fs::read(root.join("assets/l4.bpf.o")).unwrap(),
        "assets/l4.bpf.o is not what bpf/ makes: run bpf/build and commit the result"
    );
}
