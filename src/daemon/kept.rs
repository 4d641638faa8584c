//! Lists in the state folder that outlive a reboot: a file is whole or as it was before.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Version of the files' form.
const FORM: u32 = 1;
/// Nobody has asked for so much.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads what is left of earlier runs: `FILE.json` with the list `key`. A file that cannot be read is
/// moved aside and told of with `lost`, which says what is gone with it.
pub(super) fn open<T: DeserializeOwned>(
    dir: &Path,
    file: &str,
    key: &str,
    lost: &str,
) -> (Vec<T>, Option<String>) {
    let path = dir.join(file);
    let trouble = match read(&path, key) {
        Ok(list) => return (list, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Vec::new(), None),
        Err(error) => error,
    };
    let aside = path.with_extension("damaged");
    let kept = match fs::rename(&path, &aside) {
        Ok(()) => format!("it is kept as {}", aside.display()),
        Err(error) => format!("it cannot be moved aside: {error}"),
    };
    let remark = format!("{}: {lost}: {trouble} ({kept})", path.display());
    (Vec::new(), Some(remark))
}

/// The file takes its new form whole or not at all.
pub(super) fn write<T: Serialize>(dir: &Path, file: &str, key: &str, list: &[T]) -> io::Result<()> {
    let path = dir.join(file);
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let form = json!({"form": FORM, key: list});
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o640)
        .open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(&form)?)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    File::open(dir)?.sync_all()
}

fn read<T: DeserializeOwned>(path: &Path, key: &str) -> io::Result<Vec<T>> {
    let found = fs::metadata(path)?;
    // Opening a FIFO would wait for its other end.
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let size = found.len();
    if size > LARGEST {
        return Err(io::Error::other(format!("it has {size} bytes")));
    }
    let mut form: Value = serde_json::from_slice(&fs::read(path)?)?;
    if form["form"] != FORM {
        return Err(io::Error::other(format!(
            "its form {} is not known",
            form["form"]
        )));
    }
    Ok(serde_json::from_value(form[key].take())?)
}
