//! Compiles every `.proto` file below `mesos` and `epic`, without an external compiler.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for root in ["mesos", "epic"] {
        println!("cargo:rerun-if-changed={root}");
        collect(Path::new(root), &mut files)?;
    }
    files.sort();

    let mut config = prost_build::Config::new();
    // Journal entries must have the same bytes wherever they are written: no hash map's order.
    config.btree_map(["."]);
    config.include_file("modules.rs");
    config.compile_fds(protox::compile(&files, ["."])?)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
