//! Start line and header fields of one message. See the module's page for the layout.

use super::Method;

/// A range of the head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    start: u32,
    len: u32,
}

impl Piece {
    /// `len` bytes at `start`; an empty piece is nowhere.
    pub(crate) fn new(start: usize, len: usize) -> Self {
        if len == 0 { Self::default() } else { Self { start: start as u32, len: len as u32 } }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// One header field; the name is lower case.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: Piece,
    pub value: Piece,
}

/// `HTTP/major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u8,
    pub minor: u8,
}

impl Version {
    pub const HTTP_10: Self = Self { major: 1, minor: 0 };
    pub const HTTP_11: Self = Self { major: 1, minor: 1 };
    pub const HTTP_2: Self = Self { major: 2, minor: 0 };
}

/// A request or response head. `status` is 0 in a request; `method`/`target` are empty in a response.
#[derive(Clone, Debug)]
pub struct Head {
    buf: Vec<u8>,
    method_kind: Method,
    method: Piece,
    target: Piece,
    version: Version,
    status: u16,
    reason: Piece,
    fields: Vec<Field>,
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

impl Head {
    /// An empty head, to be filled (and re-used: [`Head::clear`] keeps the allocations).
    #[must_use]
    pub fn new() -> Self {
        Self {
            buf: Vec::new(),
            method_kind: Method::Other,
            method: Piece::default(),
            target: Piece::default(),
            version: Version::HTTP_11,
            status: 0,
            reason: Piece::default(),
            fields: Vec::new(),
        }
    }

    pub fn clear(&mut self) {
        self.buf.clear();
        self.fields.clear();
        self.method_kind = Method::Other;
        self.method = Piece::default();
        self.target = Piece::default();
        self.version = Version::HTTP_11;
        self.status = 0;
        self.reason = Piece::default();
    }

    /// Starts over with `raw` (a whole head as received) at the front of the buffer.
    pub fn load(&mut self, raw: &[u8]) {
        self.clear();
        self.buf.extend_from_slice(raw);
    }

    /// What [`Head::load`] took, for its reader to lower the names in.
    pub fn raw_mut(&mut self) -> &mut [u8] {
        &mut self.buf
    }

    /// Cuts what was loaded to the head's length, once that is known.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(len);
    }

    /// Names `len` bytes at `start` of what [`Head::load`] took; out of range reads as empty.
    #[must_use]
    pub fn piece(&self, start: usize, len: usize) -> Piece {
        match start.checked_add(len) {
            Some(end) if end <= self.buf.len() => Piece { start: start as u32, len: len as u32 },
            _ => Piece::default(),
        }
    }

    /// A parsed request line: ranges of the loaded bytes.
    pub fn request_line(&mut self, method: Piece, target: Piece, version: Version) {
        self.method_kind = Method::from_bytes(self.bytes(method));
        self.method = method;
        self.target = target;
        self.version = version;
    }

    /// A parsed status line: `reason` is a range of the loaded bytes.
    pub fn status_line(&mut self, version: Version, status: u16, reason: Piece) {
        self.version = version;
        self.status = status;
        self.reason = reason;
    }

    /// A parsed field: ranges of the loaded bytes. The name is lowered in place.
    pub fn field(&mut self, name: Piece, value: Piece) {
        if let Some(bytes) = self.buf.get_mut(name.range()) {
            bytes.make_ascii_lowercase();
        }
        self.fields.push(Field { name, value });
    }

    /// A parsed field whose name is lower case already.
    pub fn lower_field(&mut self, name: Piece, value: Piece) {
        self.fields.push(Field { name, value });
    }

    /// Blanks out line breaks inside a folded value (RFC 9112 5.2).
    pub fn unfold(&mut self, value: Piece) {
        if let Some(bytes) = self.buf.get_mut(value.range()) {
            for b in bytes.iter_mut().filter(|b| matches!(**b, b'\r' | b'\n')) {
                *b = b' ';
            }
        }
    }

    /// Appends every field line as `name: value\r\n`. Lines that already stand so in the buffer are copied together.
    pub fn write_fields(&self, out: &mut Vec<u8>) {
        let mut run: std::ops::Range<usize> = 0..0;
        for field in &self.fields {
            match self.canonical(field) {
                Some(line) if line.start == run.end => run.end = line.end,
                Some(line) => {
                    out.extend_from_slice(self.buf.get(run).unwrap_or_default());
                    run = line;
                }
                None => {
                    std::hint::cold_path();
                    out.extend_from_slice(self.buf.get(run.clone()).unwrap_or_default());
                    run = 0..0;
                    out.extend_from_slice(self.bytes(field.name));
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(self.bytes(field.value));
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
        out.extend_from_slice(self.buf.get(run).unwrap_or_default());
    }

    /// The range of the whole line when it stands in the buffer exactly as it is to be sent.
    fn canonical(&self, field: &Field) -> Option<std::ops::Range<usize>> {
        let (name, value) = (field.name.range(), field.value.range());
        let end = value.end + 2;
        let exact = value.start == name.end + 2
            && self.buf.get(name.end..value.start) == Some(b": ".as_slice())
            && self.buf.get(value.end..end) == Some(b"\r\n".as_slice());
        exact.then_some(name.start..end)
    }

    /// Sum of the lengths of all names and values.
    #[must_use]
    pub fn field_bytes(&self) -> usize {
        self.fields.iter().map(|f| (f.name.len + f.value.len) as usize).sum()
    }

    /// Would the head still fit into a buffer of `size` bytes, grown by `more`? Counted as HAProxy lays messages out: 48
    /// bytes for the buffer's own, 8 for each part, 20 more for the start line and one for the end.
    #[must_use]
    pub fn fits(&self, size: usize, more: usize) -> bool {
        const OWN: usize = 48 + 8 + 20 + 8 + 1;
        let room = size.saturating_sub(OWN + more);
        let fields = self.fields.len() * 8;
        // The buffer holds at least all that is left of it, so that small heads need no adding up.
        if self.buf.len() + fields + 8 <= room {
            return true;
        }
        let line = (self.method.len + self.target.len + self.reason.len) as usize + "HTTP/1.1".len();
        line + fields + self.field_bytes() <= room
    }

    /// Appends bytes to the buffer and names them.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Piece {
        let start = self.buf.len() as u32;
        self.buf.extend_from_slice(bytes);
        Piece { start, len: bytes.len() as u32 }
    }

    /// Appends bytes to the piece that was pushed last, and names both.
    pub fn push_behind(&mut self, piece: Piece, bytes: &[u8]) -> Piece {
        let more = self.push_bytes(bytes);
        Piece { start: more.start - piece.len, len: piece.len + more.len }
    }

    /// The bytes a piece names.
    #[must_use]
    pub fn bytes(&self, piece: Piece) -> &[u8] {
        self.buf.get(piece.range()).unwrap_or_default()
    }

    #[must_use]
    pub fn method(&self) -> Method {
        self.method_kind
    }

    #[must_use]
    pub fn method_bytes(&self) -> &[u8] {
        self.bytes(self.method)
    }

    /// The request target exactly as it stands in the request line (origin, absolute, authority or asterisk form).
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.bytes(self.target)
    }

    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.bytes(self.reason)
    }

    pub fn set_method(&mut self, method: &[u8]) {
        self.method_kind = Method::from_bytes(method);
        self.method = self.push_bytes(method);
    }

    pub fn set_target(&mut self, target: &[u8]) {
        self.target = self.push_bytes(target);
    }

    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    pub fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    pub fn set_reason(&mut self, reason: &[u8]) {
        self.reason = self.push_bytes(reason);
    }

    /// The header fields in order, name (lower case) and value (outer white space removed).
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|f| (self.bytes(f.name), self.bytes(f.value)))
    }

    #[must_use]
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// Every value under `name` (lower case), one per field line, commas untouched.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        self.fields().filter(move |(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The first value under `name` (lower case).
    #[must_use]
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }

    /// Adds a field at the end. The name is lowered here.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let name = self.push_bytes(name);
        self.push_bytes(b": ");
        let value = self.push_bytes(value);
        self.push_bytes(b"\r\n");
        self.field(name, value);
    }

    /// Removes every field of that name (lower case); says how many went.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        self.remove_where(|n, _| n == name)
    }

    /// Removes the field at `index` if it has that name; answers whether it did.
    pub fn remove_at(&mut self, index: usize, name: &[u8]) -> bool {
        let found = self.fields.get(index).is_some_and(|f| self.bytes(f.name) == name);
        if found {
            self.fields.remove(index);
        }
        found
    }

    /// Removes the fields `gone` answers true for.
    pub fn remove_where(&mut self, mut gone: impl FnMut(&[u8], &[u8]) -> bool) -> usize {
        let before = self.fields.len();
        let buf = &self.buf;
        let at = |p: Piece| buf.get(p.start as usize..(p.start + p.len) as usize).unwrap_or_default();
        self.fields.retain(|f| !gone(at(f.name), at(f.value)));
        before - self.fields.len()
    }

    /// Removes every field of that name, then adds one at the end (HAProxy's `set-header`).
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let lower = name.to_ascii_lowercase();
        self.remove(&lower);
        self.add(&lower, value);
    }

    /// Replaces the value of the field at `index` (its place among [`Head::fields`]).
    pub fn replace_value(&mut self, index: usize, value: &[u8]) {
        let value = self.push_bytes(value);
        if let Some(field) = self.fields.get_mut(index) {
            field.value = value;
        }
    }
}
