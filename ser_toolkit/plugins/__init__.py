"""Host plugins: find, load one by one, look up by kind and name, assemble what a recipe names.

`hookspecs` is the contract; `entry_points` reads what is installed; `loader` imports one plugin
and calls its hooks, inside `sandbox`, and checks both; `registry` holds all of them; `errors` has
what a user is told; `assemble`, `assets` and `bundles` turn names into components.
"""
