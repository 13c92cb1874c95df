internal import Glibc

/// A refusal by the kernel, or a failure of the socket.
package struct NetlinkError: Error, Sendable {
    /// The attempted operation, such as `adding 12 elements to set endpoints of table ip
    /// needletail`.
    package let operation: String
    /// The errno as a positive number; 0 if the error did not come from the kernel.
    package let code: Int32
    /// The kernel's own error text (extended ack), if there is one.
    package let kernelMessage: String?

    package init(_ operation: String, code: Int32, kernelMessage: String? = nil) {
        self.operation = operation
        self.code = code
        self.kernelMessage = kernelMessage
    }

    package var isPermissionDenied: Bool { code == EPERM || code == EACCES }
    /// Whether the kernel lacks the protocol, the family or the subsystem.
    package var isUnsupported: Bool {
        [EPROTONOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT, EINVAL].contains(code)
    }
    package var isNotFound: Bool { code == ENOENT }
    package var isTooLarge: Bool { code == EMSGSIZE || code == ENOBUFS }
    /// Whether another program has changed the ruleset since the generation ID was read.
    package var isStaleGeneration: Bool { code == ERESTART }
}

extension NetlinkError: CustomStringConvertible {
    package var description: String {
        guard code != 0 else { return operation }
        let text = String(cString: strerror(code))
        let detail = kernelMessage.map { " (\($0))" } ?? ""
        return "\(operation): \(text) [errno \(code)]\(detail)"
    }
}
