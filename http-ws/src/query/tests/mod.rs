//! Queries: rows H01–H09 one by one; what clients send; and whatever may come, compared with a simple parser.

mod clients;
mod properties;
mod rows;
