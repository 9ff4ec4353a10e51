"""Optuna's storage opens the database, which it refuses at any other revision, and tells the studies and trials in it."""

import sys

import optuna

for study in optuna.study.get_all_study_summaries(sys.argv[1]):
    trials = optuna.load_study(study_name=study.study_name, storage=sys.argv[1]).trials
    print(study.study_name, *(part for trial in trials for part in (trial.state.name, trial.params, trial.values)))
