internal import ArgumentParser

/// How a command prints its answer (`--output`): for people or for machines.
enum TextOrJSON: String, ExpressibleByArgument, CaseIterable { case text, json }
