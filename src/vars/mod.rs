//! Layers of values: who wins, dotenv files, interpolation.
