//! Finds the Envfile, follows includes, lowers the tree to the model.
