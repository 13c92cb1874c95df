/// The namespace and name of an object; the namespace is empty for cluster-scoped objects.
///
/// It is a reference to one text and its hash, since a large cluster's names are keys of many tables.
package struct ObjectName: Sendable {
    private final class Storage: Sendable {
        /// `namespace/name`, or the name alone.
        let text: String
        /// The number of bytes of the namespace.
        let split: Int
        let hash: Int

        init(text: String, split: Int) {
            (self.text, self.split) = (text, split)
            // The process's seed is in it, so nobody can choose names that collide.
            var hasher = Hasher()
            hasher.combine(text)
            hasher.combine(split)
            hash = hasher.finalize()
        }
    }

    private let storage: Storage

    package init(namespace: String, name: String) {
        let text = namespace.isEmpty ? name : "\(namespace)/\(name)"
        storage = Storage(text: text, split: namespace.utf8.count)
    }

    /// Reads `namespace/name`, or the name alone of a cluster-scoped object.
    package init(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        self.init(namespace: parts.count > 1 ? parts[0] : "", name: parts.last ?? "")
    }

    package var namespace: String { String(Substring(namespaceBytes)) }

    package var name: String { String(Substring(nameBytes)) }

    private var namespaceBytes: Substring.UTF8View { storage.text.utf8.prefix(storage.split) }

    private var nameBytes: Substring.UTF8View {
        storage.text.utf8.dropFirst(storage.split == 0 ? 0 : storage.split + 1)
    }

    /// Whether a text is the description of this name.
    package func isWritten(_ text: String) -> Bool { storage.text == text }
}

extension ObjectName: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        left.storage === right.storage
            || left.storage.hash == right.storage.hash && left.storage.split == right.storage.split
                && left.storage.text == right.storage.text
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(storage.hash) }
}

extension ObjectName: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (Substring(left.namespaceBytes), Substring(left.nameBytes))
            < (Substring(right.namespaceBytes), Substring(right.nameBytes))
    }
}

extension ObjectName: CustomStringConvertible {
    package var description: String { storage.text }
}
