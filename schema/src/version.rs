//! Versions of the format, and the way between them.

use std::fmt;
use std::str::FromStr;

use crate::Program;
use crate::record::{Need, Wire};

/// A version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when old readers and new files, or old files and new readers, do not fit.
    pub major: u16,
    /// Changes when something is added.
    pub minor: u16,
}

impl Version {
    /// The version that this crate writes.
    pub const CURRENT: Version = Version { major: 0, minor: 1 };
    /// Every version that this crate reads and writes, oldest first.
    pub const KNOWN: &'static [Version] = &[Version { major: 0, minor: 1 }];
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = Unsupported;
    fn from_str(s: &str) -> Result<Self, Unsupported> {
        let parse = || {
            let (major, minor) = s.split_once('.')?;
            let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
            (digits(major) && digits(minor)).then_some(())?;
            Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? })
        };
        parse().ok_or_else(|| Unsupported::Spelling(s.to_owned()))
    }
}

/// Why a program cannot be had in a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Not the spelling of a version.
    #[error("`{0}` is not a format version; write it as MAJOR.MINOR, such as 0.1")]
    Spelling(String),
    /// A version that this crate does not know.
    #[error("format version {0} is not known here; known: {known}", known = known())]
    Unknown(Version),
    /// Something in the program came after the version.
    #[error("{feature} needs format version {needs}, the target is {target}")]
    Feature {
        /// What it is.
        feature: String,
        /// The first version that has it.
        needs: Version,
        /// The version that was asked for.
        target: Version,
    },
}

fn known() -> String {
    Version::KNOWN.iter().map(Version::to_string).collect::<Vec<_>>().join(", ")
}

/// What of a program needs the highest minor version.
pub(crate) fn need(program: &Program, also: &[Need]) -> Need {
    let mut most = Need { minor: 1, feature: "everything".into() };
    program.needs(&mut |minor, feature| {
        if minor > most.minor {
            most = Need { minor, feature: feature.into() };
        }
    });
    for other in also {
        if other.minor > most.minor {
            most = other.clone();
        }
    }
    most
}

/// Turns a program of the current version into one of `target`, or names what forbids it.
/// `also` are needs that the records do not show, such as those of ops.
///
/// A version's own step goes here: it rewrites what has an older form. What has none is
/// refused by its `since`.
pub fn downgrade(
    program: Program,
    target: Version,
    also: &[Need],
) -> Result<(Program, u16), Unsupported> {
    if !Version::KNOWN.contains(&target) {
        return Err(Unsupported::Unknown(target));
    }
    let need = need(&program, also);
    if need.minor > target.minor {
        let needs = Version { major: target.major, minor: need.minor };
        return Err(Unsupported::Feature { feature: need.feature.into_owned(), needs, target });
    }
    Ok((program, need.minor))
}

/// Turns a program of a known older version into one of the current version. Keys that came
/// later have the old meaning as default, so 0.1 to 0.1 is all there is.
pub fn upgrade(program: Program, from: Version) -> Result<Program, Unsupported> {
    if !Version::KNOWN.contains(&from) {
        return Err(Unsupported::Unknown(from));
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling() {
        assert_eq!("0.1".parse(), Ok(Version::CURRENT));
        assert_eq!(
            Version { major: 12, minor: 3 }.to_string().parse(),
            Ok(Version { major: 12, minor: 3 })
        );
        for bad in ["", "1", "1.", ".1", "1.2.3", "v1.0", "+1.0", "1.70000"] {
            assert_eq!(bad.parse::<Version>(), Err(Unsupported::Spelling(bad.into())), "{bad}");
        }
    }

    #[test]
    fn targets() {
        let p = Program::default;
        assert_eq!(downgrade(p(), Version::CURRENT, &[]).map(|x| x.1), Ok(1));
        for (major, minor) in [(0, 0), (0, 2), (1, 0)] {
            let target = Version { major, minor };
            assert_eq!(downgrade(p(), target, &[]), Err(Unsupported::Unknown(target)));
            assert_eq!(upgrade(p(), target), Err(Unsupported::Unknown(target)));
        }
        let new_op = Need { minor: 2, feature: "op `shiny`".into() };
        let error = downgrade(p(), Version::CURRENT, &[new_op]).unwrap_err();
        assert_eq!(error.to_string(), "op `shiny` needs format version 0.2, the target is 0.1");
    }
}
