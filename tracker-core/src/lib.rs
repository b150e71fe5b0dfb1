//! What a tracker is: a table that many read and one writes, and rules about who may be in it.
