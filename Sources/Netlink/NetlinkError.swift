internal import Glibc

/// What the kernel, or the socket to it, refused.
package struct NetlinkError: Error, Sendable {
    /// What was attempted, on what: `adding 12 elements to set endpoints of table ip needletail`.
    package let operation: String
    /// The errno, positive; 0 if it was not the kernel that refused.
    package let code: Int32
    /// The kernel's own words (extended ack), if it had any.
    package let kernelMessage: String?

    /// A part of the kernel that is missing, if that is the reason.
    package private(set) var lack: Lack?

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

    package var isPermissionDenied: Bool { code == EPERM || code == EACCES }
    /// The protocol, the family or the subsystem is not there.
    package var isUnsupported: Bool {
        [EPROTONOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT, EINVAL].contains(code)
    }
    package var isNotFound: Bool { code == ENOENT }
    package var isTooLarge: Bool { code == EMSGSIZE || code == ENOBUFS }
    /// Another program changed the ruleset after our generation ID was read.
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
