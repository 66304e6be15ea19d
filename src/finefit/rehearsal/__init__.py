"""How a recording of a recipe is come by: from the atlas, from the cache, or by asking the worker to rehearse it.

recipe     all that a recording depends on, and the key of its tape
cache      tapes of recipes that were rehearsed on this machine
find       the first of the three that knows
own_rows   the same for the rows of a job's own file
build      tapes that answer everywhere: the atlas
"""
