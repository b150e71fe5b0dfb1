//! Unmodified WebTorrent clients find each other through this tracker.
//!
//! In Node there are npm's `bittorrent-tracker`, which is a client of trackers alone, and `webtorrent`, both with Chromium's WebRTC as an addon
//! (`@roamhq/wrtc`); in Chromium itself there is `webtorrent`'s bundle for browsers. What they do is in the scripts beside this
//! file, which know what to expect and fail with it; `package-lock.json` says which versions. Nothing but the tracker could have
//! introduced them: torrents are private, and there are neither STUN servers nor a network that leads anywhere.

mod clients;
mod process;
mod tracker;
mod transfers;

use tracker_testkit::skip::Requirement;

const NODE: [Requirement; 3] = [Requirement::Root, Requirement::Program("node"), Requirement::NodeModules];
const BROWSER: Requirement = Requirement::Program("chromium");
