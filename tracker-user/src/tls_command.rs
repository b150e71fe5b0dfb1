//! `tracker-user tls self-signed DIR [NAME…]`: a certificate for trying HTTPS out, and what to write into the configuration for it.
//!
//! Called by `command`. Tests are below.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use http_ws::tls;

/// Makes the files and says where they are and how to use them.
///
/// # Errors
///
/// Files of these names exist or can't be written, or one of `names` is neither a host name nor an address.
pub fn self_signed(directory: &Path, names: &[String]) -> anyhow::Result<String> {
    let made = tls::self_signed(directory, names)?;
    // The tracker may run elsewhere: the configuration needs whole paths.
    let whole = |path: &Path| fs::canonicalize(path).with_context(|| path.display().to_string());
    let (certificate, private_key) = (whole(&made.certificate)?, whole(&made.private_key)?);
    let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    Ok(format!(
        "certificate: {certificate_path}
private key: {key_path}
for:         {names}, one year

Into the configuration:

[http]
listen = [\"http://0.0.0.0:6969\", \"http://[::]:6969\", \"https://0.0.0.0:6970\", \"https://[::]:6970\"]

[tls]
certificate = {certificate}
private_key = {private_key}

Clients refuse it until they are told to trust {certificate_path}.",
        certificate_path = certificate.display(),
        key_path = private_key.display(),
        names = made.names.join(", "),
        certificate = quoted(&certificate),
        private_key = quoted(&private_key),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted_into_the_configuration() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let text = self_signed(&directory.path().join("new \"one\""), &["tracker.example".to_owned()])
            .expect("nothing is there yet");
        let (_, pasted) = text.split_once("Into the configuration:\n").expect("it says so");
        let (pasted, _) = pasted.split_once("\nClients").expect("the last line isn't for the file");
        let table: toml::Table = pasted.parse().unwrap_or_else(|error| panic!("{pasted}\n{error}"));
        let path = |key: &str| table["tls"][key].as_str().expect("a string").into();
        tls::Tls::load(tls::Files::Separate {
            certificate: path("certificate"),
            private_key: path("private_key"),
        })
        .expect("the printed paths lead to files that fit together");
        assert_eq!(table["http"]["listen"].as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn a_second_one_in_the_same_directory_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        self_signed(directory.path(), &[]).expect("the directory is empty");
        let error = self_signed(directory.path(), &[]).expect_err("nothing is overwritten").to_string();
        assert!(error.contains("certificate.pem: exists"), "{error}");
    }
}
