"""Which configuration to use, and how sure that is.

An option (`configuration`) is one configuration with what is known of it: figures, measured or predicted,
with an error of its own and one that it shares with its like. Results become options in `from_results`. An
objective is a figure, or a weighted mean of figures, that is to be least; constraints are limits that an
option keeps, breaks, or that nobody can tell of it.

How sure a choice is, is asked of draws of what the true figures may be: in how many of them an option is the
least, and what would be gained if one were known exactly. `recommender` asks it of the options that are
there. `search` asks it of all that could be encoded, whose figures follow from the known options along curves
(`curves`, `priors`), and names what to encode next. The front and what a VMAF point costs on it are the
recommender's, for `wattframe recommend`, `tune` and `report` alike.
"""
