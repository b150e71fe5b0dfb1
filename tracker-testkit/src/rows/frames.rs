//! U21: what packets may look like around a request.

use super::Expected::{Connect, Silence};
use super::{Rows, Shape, announced};
use crate::payload;

pub(super) fn add(rows: &mut Rows) {
    for (shape, name) in [
        (Shape::Vlan, "requests with an 802.1Q tag are answered"),
        (Shape::ServiceVlan, "requests with an 802.1ad tag are answered"),
        (Shape::Padded, "requests in padded frames are answered"),
        (Shape::Options, "requests with IP options or an extension header are answered"),
        (Shape::Fragments, "requests in fragments are answered"),
    ] {
        rows.both("U21", name, |s| {
            let host = s.host(0).shaped(shape);
            vec![host.sends(payload::connect(7), Connect), host.announces(s.leecher(), announced(0, 1, &[]))]
        });
    }
    rows.both("U21", "a request with a wrong checksum gets silence", |s| {
        let host = s.host(0).shaped(Shape::BadChecksum);
        vec![
            host.sends(payload::connect(7), Silence),
            host.sends_with(super::Id::Of(s.host(0)), s.leecher().bytes(), Silence),
        ]
    });
}
