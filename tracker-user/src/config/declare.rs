//! `section!` and `choice!`: a table of the configuration, and a word in it, from one declaration each.
//!
//! Used by [`super`] and its sections, whose tests test them.

/// Comment lines and default of one key, as `config print` shows them.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) comment: &'static [&'static str],
    pub(super) value: toml::Value,
}

/// Declares one table of the configuration; the doc comments become the comments of the printed file.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $Name:ident {
            $( $(#[doc = $comment:literal])+ $key:ident: $Type:ty = $default:expr, )+
            $( tables { $( $(#[doc = $table_about:literal])+ $table:ident: $Table:ty, )+ } )?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $Name {
            $( $(#[doc = $comment])+ pub $key: $Type, )+
            $( $( $(#[doc = $table_about])+ pub $table: $Table, )+ )?
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $key: $default, )+ $( $( $table: <$Table>::default(), )+ )? }
            }
        }

        impl $Name {
            pub(in crate::config) const ABOUT: &'static [&'static str] = &[$($about),+];

            pub(in crate::config) fn keys(&self) -> Vec<$crate::config::declare::Key> {
                vec![$( $crate::config::declare::Key {
                    name: stringify!($key),
                    comment: &[$($comment),+],
                    value: toml::Value::try_from(&self.$key).expect("every type of the configuration is a TOML value"),
                }, )+]
            }
        }
    };
}

/// An enum of the configuration with its names in the file; the first name is printed, all are read.
macro_rules! choice {
    ($(#[$about:meta])* $Name:ident { $( $(#[$doc:meta])* $Variant:ident = $text:literal $(| $alias:literal)*, )+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $Name { $( $(#[$doc])* #[serde(rename = $text $(, alias = $alias)*)] $Variant, )+ }

        impl std::fmt::Display for $Name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(match self { $( Self::$Variant => $text, )+ })
            }
        }

        impl std::str::FromStr for $Name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $( $text $(| $alias)* => Ok(Self::$Variant), )+
                    _ => Err(format!("`{text}` is none of: {}", [$($text $(, $alias)*),+].join(", "))),
                }
            }
        }
    };
}
