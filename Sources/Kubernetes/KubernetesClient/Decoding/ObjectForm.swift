internal import Synchronization

/// The form in which objects are asked for.
struct ObjectForm: Sendable, Hashable {
    var encoding: WireEncoding
    /// Whether the server should leave out `metadata.managedFields`, which nobody here reads.
    var dropsManagedFields = true

    /// The Accept header for this form; JSON is always included, since every server supports it.
    ///
    /// KEP-5958 has the parameter (alpha in Kubernetes 1.38). A kube-apiserver that does not know it
    /// ignores it (`negotiate.go`, acceptMediaTypeOptions); a server that refuses it can choose the
    /// same type without it.
    var accept: String {
        let encodings = encoding == .json ? [encoding] : [encoding, .json]
        return encodings.flatMap { encoding in
            (dropsManagedFields ? ["\(encoding.rawValue);drop=metadata.managedFields"] : [])
                + [encoding.rawValue]
        }.joined(separator: ",")
    }

    /// Returns the form to ask for when a server has refused this one with a status; nil if the form
    /// is not why.
    func afterRefusal(_ code: Int) -> ObjectForm? {
        // Whatever is in front of the API server may take the parameter for a malformed header.
        if dropsManagedFields, [400, 406, 415].contains(code) {
            return ObjectForm(encoding: encoding, dropsManagedFields: false)
        }
        guard encoding == .protobuf, [406, 415].contains(code) else { return nil }
        return ObjectForm(encoding: .json, dropsManagedFields: false)
    }
}

/// The form that each API server has taken last, shared by all requests of a client.
final class ObjectForms: Sendable {
    private let first: ObjectForm
    private let taken = Mutex<[String: ObjectForm]>([:])

    init(_ encoding: WireEncoding) { first = ObjectForm(encoding: encoding) }

    /// The form to ask a server for, by the server's URL.
    subscript(server: String) -> ObjectForm {
        get { taken.withLock { $0[server] } ?? first }
        set { taken.withLock { $0[server] = newValue } }
    }
}
