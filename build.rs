//! Gives the program a name for its own sources: what one build compiled or sealed, another one does not believe.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

fn hash(path: &Path, into: &mut DefaultHasher) -> std::io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<_> =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| hash(entry, into));
    }
    path.hash(into);
    std::fs::read(path)?.hash(into);
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut hasher = DefaultHasher::new();
    hash(Path::new("src"), &mut hasher)?;
    hash(Path::new("Cargo.toml"), &mut hasher)?;
    // Two machines of different kinds may share a checkout.
    std::env::var_os("TARGET").hash(&mut hasher);
    println!("cargo::rustc-env=ENVRUN_BUILD={:016x}", hasher.finish());
    // A program that may lie anywhere has twenty thousand addresses to put right before it begins, and copies each page
    // that holds one: half of what a run costs that has nothing to do. Stack, heap and libraries still lie anywhere.
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.toml");
    Ok(())
}
