internal import FoundationEssentials
package import KubernetesModel
internal import YAMLBounds
internal import Yams

/// Reads the objects in a text of YAML documents or of JSON.
package struct ManifestReader {
    private let file: String

    /// - Parameter file: what errors call the text
    package init(file: String) { self.file = file }

    /// - Throws: also if the text holds nothing at all, which a file half written looks like, too; an
    ///   empty List says that there are no objects
    package func objects(in text: String) throws(ManifestError) -> [KubernetesObject] {
        // JSON is YAML too, but its own decoder is many times faster.
        let isJSON = text.first { !$0.isWhitespace } == "{"
        return isJSON ? try json(text) : try yaml(text)
    }

    private func json(_ text: String) throws(ManifestError) -> [KubernetesObject] {
        do {
            return try JSONDecoder().decode(KubernetesObjects.self, from: Data(text.utf8)).objects
        } catch let error as DecodingError {
            if case .dataCorrupted(let context) = error, context.codingPath.isEmpty {
                // Not JSON after all: flow-style YAML, or broken. The other reader tells the line.
                return try yaml(text)
            }
            let root = (try? Yams.compose(yaml: text)) ?? nil
            throw located(error, in: root)
        } catch {
            throw ManifestError(file: file, line: nil, problem: FieldProblem("", "\(error)"))
        }
    }

    private func yaml(_ text: String) throws(ManifestError) -> [KubernetesObject] {
        guard AliasExpansion.isBounded(text) else {
            throw ManifestError(
                file: file,
                line: nil,
                problem: FieldProblem("", "its aliases stand for too much; write them out")
            )
        }
        var documents: [Yams.Node] = []
        do {
            // Not a for loop: this sequence just ends where it cannot go on, and tells it on the
            // side.
            var sequence = try Yams.compose_all(yaml: text)
            while let document = sequence.next() { documents.append(document) }
            if let error = sequence.error { throw error }
        } catch {
            throw syntaxError(error)
        }
        documents.removeAll { $0.null != nil }
        guard !documents.isEmpty else { throw empty }
        var objects: [KubernetesObject] = []
        for document in documents {
            do {
                objects += try YAMLDecoder().decode(KubernetesObjects.self, from: document).objects
            } catch let error as DecodingError {
                throw located(error, in: document)
            } catch {
                throw ManifestError(
                    file: file,
                    line: document.mark?.line,
                    problem: FieldProblem("", "\(error)")
                )
            }
        }
        return objects
    }

    private var empty: ManifestError {
        let reason = """
            is empty, as a half written file may be; if there are to be no objects, write \
            {apiVersion: v1, kind: List, items: []}
            """
        return ManifestError(file: file, line: nil, problem: FieldProblem("", reason))
    }

    private func syntaxError(_ error: any Error) -> ManifestError {
        let (reason, line): (String, Int?) =
            switch error as? YamlError {
            case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
                .composer(_, let problem, let mark, _):
                (problem, mark.line)
            case let other?: ("\(other)", nil)
            case nil: ("\(error)", nil)
            }
        return ManifestError(
            file: file,
            line: line,
            problem: FieldProblem("", "is no valid YAML: \(reason)")
        )
    }

    /// Adds the line of the field, or of the nearest parent that is there.
    private func located(_ error: DecodingError, in root: Yams.Node?) -> ManifestError {
        var node = root
        var line = root?.mark?.line
        for key in error.path {
            node =
                key.intValue.flatMap { node?.sequence?[safe: $0] }
                ?? node?.mapping?[key.stringValue]
            guard let found = node else { break }
            line = found.mark?.line ?? line
        }
        return ManifestError(file: file, line: line, problem: error.fieldProblem)
    }
}

extension DecodingError {
    fileprivate var path: [any CodingKey] {
        switch self {
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .keyNotFound(_, let context), .dataCorrupted(let context):
            context.codingPath
        @unknown default: []
        }
    }
}

extension Yams.Node.Sequence {
    fileprivate subscript(safe index: Int) -> Yams.Node? {
        indices.contains(index) ? self[index] : nil
    }
}
