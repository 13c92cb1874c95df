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

    /// A part of the kernel that is missing, if that is the reason.
    package private(set) var lack: Lack?
    /// Whether the message was not sent, so that the kernel has certainly done nothing.
    package private(set) var isUnsent = false

    package enum Lack: Sendable, Hashable {
        case ipvs, scheduler, dummyDevices
    }

    package init(
        _ operation: String,
        code: Int32,
        kernelMessage: String? = nil,
        lack: Lack? = nil
    ) {
        self.operation = operation
        self.code = code
        self.kernelMessage = kernelMessage
        self.lack = lack
    }

    /// The same, because of something that is missing.
    package func lacking(_ lack: Lack) -> NetlinkError {
        var error = self
        error.lack = lack
        return error
    }

    /// The same, of a message that was not sent.
    package var unsent: NetlinkError {
        var error = self
        error.isUnsent = true
        return error
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
