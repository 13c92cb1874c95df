package import KubernetesModel

/// Something about an object that was left out or read otherwise than written; the rest of the
/// object is in force.
package struct Diagnostic: Sendable, Hashable {
    /// Why the owner of a Service should hear of it: the reason of the event about it.
    package enum Event: String, Sendable, Hashable {
        /// Another Service claims the same address and port.
        case frontendConflict = "FrontendConflict"
        /// The address or port serves something that no Service may take.
        case frontendRefused = "FrontendRefused"
        /// Something else on the node listens there.
        case portInUse = "PortInUse"
        /// More endpoints than connections can be spread over.
        case tooManyEndpoints = "TooManyEndpoints"
    }

    /// Like `Service default/web`.
    package let object: String
    package let problem: FieldProblem
    /// Nil: the log alone tells.
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

/// The first few of the diagnostics of one kind, and how many more there are: who writes objects
/// decides about their number, and must not decide about the work and the lines they cost.
struct DiagnosticList {
    private static let limit = 10

    /// Whom the rest is told of.
    private let object: String
    private var told: [Diagnostic] = []
    private var untold = 0

    init(of object: String) { self.object = object }

    var all: [Diagnostic] { untold == 0 ? told : told + [Diagnostic(object, .more(untold))] }

    /// Takes one that is not told yet.
    ///
    /// - Parameter count: how many values it is about
    mutating func add(_ diagnostic: @autoclosure () -> Diagnostic, count: Int = 1) {
        guard told.count < Self.limit else {
            untold += count
            return
        }
        let diagnostic = diagnostic()
        if !told.contains(diagnostic) { told.append(diagnostic) }
    }
}
