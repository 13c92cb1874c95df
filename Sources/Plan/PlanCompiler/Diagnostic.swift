package import KubernetesModel

/// A value of an object that was left out or not read as written; the rest of the object applies.
package struct Diagnostic: Sendable, Hashable {
    /// The reason of the event that tells the owner of a Service.
    package enum Event: String, Sendable, Hashable {
        /// Another Service claims the same address and port.
        case frontendConflict = "FrontendConflict"
        /// The address or port serves something that no Service may take over.
        case frontendRefused = "FrontendRefused"
        /// Another program on the node listens at the address and port.
        case portInUse = "PortInUse"
        /// There are more endpoints than connections can be distributed to.
        case tooManyEndpoints = "TooManyEndpoints"
    }

    /// The kind and name of the object, such as `Service default/web`.
    package let object: String
    package let problem: FieldProblem
    /// The event to send; nil if a log line is enough.
    package let event: Event?

    package init(_ object: String, _ problem: FieldProblem, event: Event? = nil) {
        self.object = object
        self.problem = problem
        self.event = event
    }
}

extension Diagnostic: CustomStringConvertible {
    package var description: String { "\(object): \(problem)" }
}

/// The first few diagnostics of one kind, and the number of further ones.
///
/// The authors of objects decide how many problems there are, and must not thereby decide how much
/// work and how many log lines they cause.
struct DiagnosticList {
    private static let limit = 10

    /// The object that is named when the further problems are counted.
    private let object: String
    private var told: [Diagnostic] = []
    private var untold = 0

    init(of object: String) { self.object = object }

    var all: [Diagnostic] { untold == 0 ? told : told + [Diagnostic(object, .more(untold))] }

    /// Adds a diagnostic unless it is already listed.
    ///
    /// - Parameter count: the number of values that it is about
    mutating func add(_ diagnostic: @autoclosure () -> Diagnostic, count: Int = 1) {
        guard told.count < Self.limit else {
            untold += count
            return
        }
        let diagnostic = diagnostic()
        if !told.contains(diagnostic) { told.append(diagnostic) }
    }
}
