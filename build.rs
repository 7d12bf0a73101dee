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
    println!("cargo::rustc-env=ENVRUN_BUILD={:016x}", hasher.finish());
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.toml");
    Ok(())
}
