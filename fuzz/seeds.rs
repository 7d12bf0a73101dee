//! Writes what each target begins with, and what once broke it, into `corpus/`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in envrun::fuzz::TARGETS {
        let corpus = here.join("corpus").join(name);
        fs::create_dir_all(&corpus)?;
        for (at, seed) in envrun::fuzz::seeds(name).into_iter().enumerate() {
            fs::write(corpus.join(format!("seed-{at}")), seed)?;
        }
        for found in fs::read_dir(here.join("found").join(name)).into_iter().flatten() {
            let found = found?;
            fs::copy(found.path(), corpus.join(found.file_name()))?;
        }
    }
    Ok(())
}
