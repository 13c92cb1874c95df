internal import FoundationEssentials
package import KubernetesModel
internal import YAML

/// Reads the objects in YAML documents or in JSON.
package struct ManifestReader {
    private let file: String

    /// Makes a reader.
    ///
    /// - Parameter file: the name of the text in error messages
    package init(file: String) { self.file = file }

    /// Returns the objects in a text.
    ///
    /// An empty List says that there are no objects.
    ///
    /// - Throws: an error also if the text is empty, since a half-written file looks like that, too
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
                // Either flow-style YAML or broken JSON; the YAML reader also reports the line.
                return try yaml(text)
            }
            throw located(error, in: (try? YAMLReader.documents(in: text))?.first)
        } catch {
            throw ManifestError(file: file, line: nil, problem: FieldProblem("", "\(error)"))
        }
    }

    private func yaml(_ text: String) throws(ManifestError) -> [KubernetesObject] {
        let documents: [YAMLNode]
        do throws(YAMLError) {
            documents = try YAMLReader.documents(in: text).filter { !$0.isNull }
        } catch {
            throw ManifestError(
                file: file,
                line: error.line,
                problem: FieldProblem("", "is no valid YAML: \(error.reason)")
            )
        }
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
                    line: document.line,
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

    /// Adds the line of the field, or of its nearest parent that exists.
    private func located(_ error: DecodingError, in root: YAMLNode?) -> ManifestError {
        var node = root
        var line = root?.line
        for key in error.path {
            node = key.intValue.flatMap { node?[$0] } ?? node?[key.stringValue]
            guard let found = node else { break }
            line = found.line
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
