//! One declaration per record: the struct, its MessagePack form, its entry in the
//! materialised schema, and the version that its contents need.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A feature and the minor version of the format that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The minor version.
    pub minor: u16,
    /// What needs it, for messages.
    pub feature: Cow<'static, str>,
}

/// A value that a record can hold.
pub trait Wire: Serialize + for<'de> Deserialize<'de> {
    /// The spelling of the type in the materialised schema.
    fn type_name() -> String;
    /// Adds the records below to the catalog.
    fn describe(_catalog: &mut Catalog) {}
    /// Whether this is the value that an absent key stands for.
    fn is_absent(&self) -> bool {
        false
    }
    /// Calls `f` with every feature that a version after the first one brought.
    fn needs(&self, _f: &mut dyn FnMut(u16, &'static str)) {}
}

macro_rules! plain {
    ($($ty:ty = $name:literal, |$x:ident| $absent:expr;)*) => {$(
        impl Wire for $ty {
            fn type_name() -> String {
                $name.to_owned()
            }
            fn is_absent(&self) -> bool {
                let $x = self;
                $absent
            }
        }
    )*};
}

plain! {
    bool = "bool", |x| !*x;
    u32 = "u32", |x| *x == 0;
    u64 = "u64", |x| *x == 0;
    i64 = "i64", |x| *x == 0;
    f64 = "f64", |x| x.to_bits() == 0;
    String = "str", |x| x.is_empty();
}

impl<T: Wire> Wire for Vec<T> {
    fn type_name() -> String {
        format!("[{}]", T::type_name())
    }
    fn describe(catalog: &mut Catalog) {
        T::describe(catalog);
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
        self.iter().for_each(|x| x.needs(f));
    }
}

impl<T: Wire> Wire for Option<T> {
    fn type_name() -> String {
        format!("{}?", T::type_name())
    }
    fn describe(catalog: &mut Catalog) {
        T::describe(catalog);
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
    fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
        self.iter().for_each(|x| x.needs(f));
    }
}

impl<T: Wire> Wire for Box<T> {
    fn type_name() -> String {
        T::type_name()
    }
    fn describe(catalog: &mut Catalog) {
        T::describe(catalog);
    }
    fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
        (**self).needs(f);
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn type_name() -> String {
        format!("({}, {})", A::type_name(), B::type_name())
    }
    fn describe(catalog: &mut Catalog) {
        A::describe(catalog);
        B::describe(catalog);
    }
    fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
        self.0.needs(f);
        self.1.needs(f);
    }
}

/// A map by name, written in the order of the names. A name that comes twice is an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(&self.0)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if out.contains_key(&key) {
                        return Err(de::Error::custom(format_args!("name `{key}` comes twice")));
                    }
                    out.insert(key, value);
                }
                Ok(Named(out))
            }
        }
        d.deserialize_map(V(PhantomData))
    }
}

impl<T: Wire> Wire for Named<T> {
    fn type_name() -> String {
        format!("{{{}}}", T::type_name())
    }
    fn describe(catalog: &mut Catalog) {
        T::describe(catalog);
    }
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
    fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
        self.0.values().for_each(|x| x.needs(f));
    }
}

/// Bytes, written as MessagePack `bin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bin(pub Bytes);

impl Serialize for Bin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

struct BinVisitor;
impl Visitor<'_> for BinVisitor {
    type Value = Bin;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }
    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Bin, E> {
        Ok(Bin(Bytes::copy_from_slice(v)))
    }
}

impl<'de> Deserialize<'de> for Bin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_bytes(BinVisitor)
    }
}

impl Wire for Bin {
    fn type_name() -> String {
        "bin".to_owned()
    }
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

/// A digest of 32 bytes, written as MessagePack `bin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes")
            }
            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Digest, E> {
                v.try_into().map(Digest).map_err(|_| E::invalid_length(v.len(), &self))
            }
        }
        d.deserialize_bytes(V)
    }
}

impl Wire for Digest {
    fn type_name() -> String {
        "bin32".to_owned()
    }
}

/// A key or a tag, borrowed from the input where the input allows it.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}

/// What one field or variant of a record is, in the materialised schema.
#[derive(Clone, Debug)]
pub struct Member {
    key: &'static str,
    name: &'static str,
    ty: Option<String>,
    required: Option<bool>,
    since: u16,
    doc: String,
}

/// What one record or union is, in the materialised schema.
#[derive(Clone, Debug)]
pub struct Description {
    kind: &'static str,
    doc: String,
    members: Vec<Member>,
}

/// All records and unions, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog(BTreeMap<String, Description>);

impl Catalog {
    /// Adds a record or union; `false` when it is there already.
    pub(crate) fn enter(
        &mut self,
        name: &str,
        kind: &'static str,
        doc: &[&str],
        members: Vec<Member>,
    ) -> bool {
        let entry = Description { kind, doc: join(doc), members };
        match self.0.contains_key(name) {
            true => false,
            false => self.0.insert(name.to_owned(), entry).is_none(),
        }
    }
}

pub(crate) fn member(
    key: &'static str,
    name: &'static str,
    ty: Option<String>,
    required: Option<bool>,
    since: u16,
    doc: &[&str],
) -> Member {
    Member { key, name, ty, required, since, doc: join(doc) }
}

fn join(doc: &[&str]) -> String {
    doc.iter().map(|l| l.trim()).collect::<Vec<_>>().join(" ")
}

/// The materialised schema: every record, field, variant, type, default and version in
/// JSON, in a fixed order.
pub fn schema_json() -> String {
    let mut catalog = Catalog::default();
    crate::Program::describe(&mut catalog);
    let mut out = String::from("{\n");
    out.push_str("  \"format\": \"airconv .ir program\",\n");
    out.push_str(&format!("  \"version\": \"{}\",\n", crate::Version::CURRENT));
    out.push_str("  \"encoding\": \"MessagePack; see SPEC.md\",\n");
    out.push_str(&format!("  \"root\": {},\n", quote(&crate::Program::type_name())));
    out.push_str("  \"types\": {");
    for (i, (name, d)) in catalog.0.iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&format!("    {}: {{\n", quote(name)));
        out.push_str(&format!("      \"kind\": {},\n", quote(d.kind)));
        out.push_str(&format!("      \"doc\": {},\n", quote(&d.doc)));
        out.push_str("      \"members\": [");
        for (i, m) in d.members.iter().enumerate() {
            out.push_str(if i == 0 { "\n" } else { ",\n" });
            let mut parts =
                vec![format!("\"key\": {}", quote(m.key)), format!("\"name\": {}", quote(m.name))];
            parts.extend(m.ty.as_ref().map(|t| format!("\"type\": {}", quote(t))));
            parts.extend(m.required.map(|r| format!("\"required\": {r}")));
            parts.push(format!("\"since\": \"0.{}\"", m.since));
            parts.push(format!("\"doc\": {}", quote(&m.doc)));
            out.push_str(&format!("        {{{}}}", parts.join(", ")));
        }
        out.push_str("\n      ]\n    }");
    }
    out.push_str("\n  }\n}\n");
    out
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// How many entries a map has.
pub(crate) fn open_map<S: Serializer>(s: S, present: usize) -> Result<S::SerializeMap, S::Error> {
    s.serialize_map(Some(present))
}

/// Declares records (`"key" field: Type = required | default since N;`) and unions
/// (`unit {"tag" Variant since N;}`, `with {"tag" Variant(Type) since N;}`).
macro_rules! records {
    () => {};
    (
        $(#[doc = $doc:literal])*
        record $Name:ident $name:literal {$(
            $(#[doc = $fdoc:literal])*
            $key:literal $field:ident : $ty:ty = $need:ident since $since:literal;
        )*}
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Name { $($(#[doc = $fdoc])* pub $field: $ty,)* }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut present = 0;
                $(present += usize::from(records!(@keep $need self.$field));)*
                let mut map = $crate::record::open_map(s, present)?;
                $(if records!(@keep $need self.$field) {
                    map.serialize_entry($key, &self.$field)?;
                })*
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct V;
                impl<'de> serde::de::Visitor<'de> for V {
                    type Value = $Name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the record `", $name, "` (a map)"))
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$Name, A::Error> {
                        use serde::de::Error as _;
                        $(let mut $field: Option<$ty> = None;)*
                        while let Some(key) = map.next_key::<$crate::record::Key<'de>>()? {
                            match &*key.0 {
                                $($key if $field.is_none() => $field = Some(map.next_value()?),)*
                                $($key => return Err(A::Error::custom(concat!(
                                    "key `", $key, "` of `", $name, "` comes twice"
                                ))),)*
                                other => return Err(A::Error::custom(format_args!(
                                    concat!("`", $name, "` has no key `{}`"), other
                                ))),
                            }
                        }
                        Ok($Name { $($field: records!(@take $need $field $key $name),)* })
                    }
                }
                d.deserialize_map(V)
            }
        }

        impl $crate::record::Wire for $Name {
            fn type_name() -> String {
                $name.to_owned()
            }
            fn describe(catalog: &mut $crate::record::Catalog) {
                let members = vec![$($crate::record::member(
                    $key, stringify!($field), Some(<$ty>::type_name()),
                    Some(records!(@required $need)), $since, &[$($fdoc),*],
                )),*];
                if catalog.enter($name, "record", &[$($doc),*], members) {
                    $(<$ty>::describe(catalog);)*
                }
            }
            fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
                $(if records!(@keep $need self.$field) {
                    if $since > 1 {
                        f($since, concat!("`", stringify!($field), "` of `", $name, "`"));
                    }
                    self.$field.needs(f);
                })*
            }
        }

        records! { $($rest)* }
    };
    (
        $(#[doc = $doc:literal])*
        union $Name:ident $name:literal {
            unit {$(
                $(#[doc = $udoc:literal])*
                $utag:literal $Unit:ident since $usince:literal;
            )*}
            with {$(
                $(#[doc = $wdoc:literal])*
                $wtag:literal $With:ident($ty:ty) since $wsince:literal;
            )*}
        }
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $Name {
            $($(#[doc = $udoc])* $Unit,)*
            $($(#[doc = $wdoc])* $With($ty),)*
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                #[allow(unused_imports)]
                use serde::ser::SerializeMap as _;
                match self {
                    $(Self::$Unit => s.serialize_str($utag),)*
                    $(Self::$With(payload) => {
                        let mut map = $crate::record::open_map(s, 1)?;
                        map.serialize_entry($wtag, payload)?;
                        map.end()
                    })*
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct V;
                impl<'de> serde::de::Visitor<'de> for V {
                    type Value = $Name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a tag of `", $name, "`, or a map from one tag"))
                    }
                    fn visit_str<E: serde::de::Error>(self, tag: &str) -> Result<$Name, E> {
                        match tag {
                            $($utag => Ok($Name::$Unit),)*
                            other => Err(E::custom(format_args!(
                                concat!("`", $name, "` has no bare tag `{}`"), other
                            ))),
                        }
                    }
                    #[allow(unreachable_code, unused_variables)]
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$Name, A::Error> {
                        use serde::de::Error as _;
                        let Some(key) = map.next_key::<$crate::record::Key<'de>>()? else {
                            return Err(A::Error::custom(concat!("`", $name, "` has no tag")));
                        };
                        let value = match &*key.0 {
                            $($wtag => $Name::$With(map.next_value()?),)*
                            other => return Err(A::Error::custom(format_args!(
                                concat!("`", $name, "` has no tag `{}`"), other
                            ))),
                        };
                        match map.next_key::<$crate::record::Key<'de>>()? {
                            None => Ok(value),
                            Some(_) => Err(A::Error::custom(concat!(
                                "`", $name, "` has two tags"
                            ))),
                        }
                    }
                }
                d.deserialize_any(V)
            }
        }

        impl $crate::record::Wire for $Name {
            fn type_name() -> String {
                $name.to_owned()
            }
            fn describe(catalog: &mut $crate::record::Catalog) {
                let members = vec![
                    $($crate::record::member(
                        $utag, stringify!($Unit), None, None, $usince, &[$($udoc),*],
                    ),)*
                    $($crate::record::member(
                        $wtag, stringify!($With), Some(<$ty>::type_name()), None, $wsince,
                        &[$($wdoc),*],
                    ),)*
                ];
                if catalog.enter($name, "union", &[$($doc),*], members) {
                    $(<$ty>::describe(catalog);)*
                }
            }
            fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
                match self {
                    $(Self::$Unit => if $usince > 1 {
                        f($usince, concat!("`", $utag, "` of `", $name, "`"));
                    },)*
                    $(Self::$With(payload) => {
                        if $wsince > 1 {
                            f($wsince, concat!("`", $wtag, "` of `", $name, "`"));
                        }
                        payload.needs(f);
                    })*
                }
            }
        }

        records! { $($rest)* }
    };
    (@keep required $($x:tt)*) => { true };
    (@keep default $($x:tt)*) => { !$crate::record::Wire::is_absent(&$($x)*) };
    (@required required) => { true };
    (@required default) => { false };
    (@take required $field:ident $key:literal $name:literal) => {
        $field.ok_or_else(|| A::Error::custom(concat!("`", $name, "` lacks the key `", $key, "`")))?
    };
    (@take default $field:ident $key:literal $name:literal) => {
        $field.unwrap_or_default()
    };
}
pub(crate) use records;
