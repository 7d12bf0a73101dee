//! Listeners that find the words.
