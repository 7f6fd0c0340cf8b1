//! Where an archive keeps its program and its tensors. That changed twice:
//!
//! | PyTorch | program | tensors |
//! |---|---|---|
//! | 2.5 to 2.7 | `serialized_exported_program.json` | pickles `serialized_state_dict.pt`, `serialized_constants.pt` |
//! | 2.8 | `models/NAME.json` | pickles `data/weights/NAME.pt`, `data/constants/NAME.pt` |
//! | 2.9 and later | the same | records that `data/weights/NAME_weights_config.json` lists, and its like for constants |

use crate::archive::Archive;
use crate::error::FileError;

const OLD_PROGRAM: &str = "serialized_exported_program.json";
const OLD_PICKLES: &[&str] = &["serialized_state_dict.pt", "serialized_constants.pt"];
const FOLDERS: &[&str] = &["weights", "constants"];

/// The container that an archive is.
pub(crate) enum Container<'a> {
    /// That of PyTorch 2.5 to 2.7.
    Plain,
    /// That of later ones, with the entry and the name of its one program.
    Named {
        /// `models/NAME.json`.
        entry: &'a str,
        /// NAME.
        name: &'a str,
    },
}

impl<'a> Container<'a> {
    /// Finds the program of an archive.
    pub(crate) fn of(archive: &'a Archive) -> Result<Self, FileError> {
        let name = |entry: &'a str| entry.strip_prefix("models/")?.strip_suffix(".json");
        let models: Vec<(&str, &str)> = archive
            .entries()
            .iter()
            .filter_map(|e| Some((e.name.as_str(), name(&e.name)?)))
            .collect();
        match models.as_slice() {
            &[(entry, name)] => Ok(Self::Named { entry, name }),
            [] if archive.has(OLD_PROGRAM) => Ok(Self::Plain),
            [] => Err(FileError::malformed(
                "",
                "this is no archive of torch.export: it has no models/NAME.json",
            )),
            many => {
                let names: Vec<&str> = many.iter().map(|(_, name)| *name).collect();
                Err(FileError::unsupported(
                    "",
                    format!("it holds several programs: {}", names.join(", ")),
                ))
            }
        }
    }

    /// The entry of the program.
    pub(crate) fn program(&self) -> &'a str {
        match self {
            Self::Plain => OLD_PROGRAM,
            Self::Named { entry, .. } => entry,
        }
    }

    /// The folders of records, each with its table.
    pub(crate) fn tables(&self) -> Vec<(String, String)> {
        let Self::Named { name, .. } = self else { return Vec::new() };
        let one = |folder: &&str| {
            let path = format!("data/{folder}/");
            let table = format!("{path}{name}_{folder}_config.json");
            (path, table)
        };
        FOLDERS.iter().map(one).collect()
    }

    /// The entries that may be pickled dictionaries of tensors.
    pub(crate) fn pickles(&self) -> Vec<String> {
        match self {
            Self::Plain => OLD_PICKLES.iter().map(|&e| e.to_owned()).collect(),
            Self::Named { name, .. } => {
                FOLDERS.iter().map(|folder| format!("data/{folder}/{name}.pt")).collect()
            }
        }
    }
}
