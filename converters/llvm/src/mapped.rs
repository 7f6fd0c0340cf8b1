//! Memory of mapped files, which can be given back while it is not looked at.

use std::ops::Range;

/// The parts of memory that show files and cannot be written, ascending.
///
/// The pages of such a part are copies of what the file holds: without them it is as it was, and
/// they come back where they are looked at. It says nothing of memory that is made later, which
/// may lie where a file was.
#[derive(Debug, Default)]
pub struct Mapped(Vec<Range<usize>>);

impl Mapped {
    /// What is mapped now; nothing where `/proc` does not tell.
    pub fn now() -> Mapped {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Mapped(maps.lines().filter_map(file).collect())
    }

    /// Gives the pages of some bytes back, if they lie in a file. The bytes have been there since
    /// before this was made.
    pub fn release(&self, bytes: &[u8]) {
        let range = bytes.as_ptr_range();
        let (start, end) = (range.start as usize, range.end as usize);
        let at = self.0.partition_point(|m| m.end <= start);
        if self.0.get(at).is_none_or(|m| start < m.start || end > m.end) {
            return;
        }
        release_pages(start, end);
    }
}

/// Gives back the pages of all files that are mapped and that nobody has written to: the code that
/// was needed so far as well as models. What is needed again comes back from the files.
pub fn release_files() {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for range in unwritten(&maps) {
        release_pages(range.start, range.end);
    }
}

/// The mappings of files in a text like `/proc/self/smaps` that cannot be written and of which no
/// page is a copy of its own.
fn unwritten(maps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = None;
    for line in maps.lines() {
        match line.strip_prefix("Anonymous:") {
            Some(size) if size.trim() == "0 kB" => found.extend(at.take()),
            Some(_) => at = None,
            // Other sizes of the same mapping have a colon behind their names.
            None if line.split_ascii_whitespace().next().is_some_and(|w| w.ends_with(':')) => {}
            None => at = file(line),
        }
    }
    found
}

/// Gives back what was allocated and is free again, which the C library keeps for later.
pub fn release_free() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it touches memory that nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives the pages of some bytes back, if they lie in a file and are many.
pub fn release(bytes: &[u8]) {
    /// For fewer bytes it is not worth looking.
    const LEAST: usize = 256 << 10;
    if bytes.len() >= LEAST {
        Mapped::now().release(bytes);
    }
}

/// The addresses of a line of `/proc/self/maps` that shows a file and cannot be written.
fn file(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (mode, inode) = (words.next()?, words.nth(2)?);
    let address = |text| usize::from_str_radix(text, 16).ok();
    (mode.starts_with("r-") && inode != "0").then_some(address(start)?..address(end)?)
}

#[cfg(target_os = "linux")]
fn release_pages(start: usize, end: usize) {
    // SAFETY: asks for a number only.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page) = usize::try_from(page) else { return };
    if page == 0 {
        return;
    }
    let (first, last) = (start.next_multiple_of(page), end - end % page);
    if last > first {
        // SAFETY: whole pages of bytes that the caller borrows, which show a file: they are read
        // from it again when they are looked at. A failure changes nothing.
        unsafe { libc::madvise(first as *mut _, last - first, libc::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
fn release_pages(_: usize, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_files_are_told_from_others() {
        let of = |line| file(line);
        assert_eq!(of("1000-3000 r--p 00000000 fe:00 77 /models/a.onnx"), Some(0x1000..0x3000));
        assert_eq!(of("1000-3000 rw-p 00000000 fe:00 77 /models/a.onnx"), None);
        assert_eq!(of("1000-3000 r--p 00000000 00:00 0 [vvar]"), None);
        assert_eq!(of("what"), None);
    }

    #[test]
    fn mappings_with_pages_of_their_own_are_kept() {
        let maps = "1000-3000 r-xp 00000000 fe:00 77 /bin/a\nRss: 8 kB\nAnonymous: 0 kB\n\
                    3000-4000 r--p 00002000 fe:00 77 /bin/a\nRss: 4 kB\nAnonymous: 4 kB\n\
                    4000-5000 rw-p 00003000 fe:00 77 /bin/a\nAnonymous: 0 kB\n\
                    5000-6000 r--p 00000000 00:00 0 [vvar]\nAnonymous: 0 kB\n";
        let found = unwritten(maps);
        assert_eq!((found.len(), found.first()), (1, Some(&(0x1000..0x3000))));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn all_files_are_released_and_the_program_goes_on() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = text.lines().find_map(|l| l.strip_prefix("RssFile:")).unwrap().to_owned();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let program = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        // SAFETY: nobody writes to the program while it runs.
        let map = unsafe { memmap2::Mmap::map(&program).unwrap() };
        let (sum, before) = (map.iter().map(|&b| u64::from(b)).sum::<u64>(), resident());
        release_files();
        assert!(resident() < before);
        assert_eq!(map.iter().map(|&b| u64::from(b)).sum::<u64>(), sum);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn released_bytes_are_still_there() {
        let program = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        // SAFETY: nobody writes to the program while it runs.
        let map = unsafe { memmap2::Mmap::map(&program).unwrap() };
        let before = map.to_vec();
        Mapped::now().release(&map);
        assert!(map[..] == before[..]);
        // What is no file stays as it is, too.
        let own = vec![7u8; 1 << 16];
        Mapped::now().release(&own);
        assert!(own.iter().all(|&x| x == 7));
    }
}
