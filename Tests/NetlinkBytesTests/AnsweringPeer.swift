import Glibc
import Netlink
import Synchronization

/// Answers each request with what a test has prepared for it.
final class AnsweringPeer: NetlinkPeer {
    /// A message of an answer.
    enum Answer {
        case message(type: UInt16, flags: UInt16 = 0, @Sendable (inout MessageBuffer) -> Void)
        /// The end of a dump.
        case done(flags: UInt16 = 0)
        case error(Int32)
        /// An acknowledgement of each message of the request.
        case acknowledgements
    }

    private struct State {
        var answers: [Result<[Answer], NetlinkError>]
        var sequences: [UInt32] = []
    }

    private let state: Mutex<State>

    /// - Parameter answers: a datagram each
    init(_ answers: [Result<[Answer], NetlinkError>]) {
        state = Mutex(State(answers: answers))
    }

    convenience init(_ answers: [[Answer]]) { self.init(answers.map { .success($0) }) }

    /// Whether everything was asked for.
    var isUsedUp: Bool { state.withLock(\.answers.isEmpty) }

    func take(_ request: UnsafeRawBufferPointer) {
        state.withLock { $0.sequences = NetlinkMessages(request).map(\.sequence) }
    }

    func receive(_ body: (UnsafeRawBufferPointer) -> Void) throws(NetlinkError) -> Bool {
        let (next, sequences) = state.withLock { state in
            (state.answers.isEmpty ? nil : state.answers.removeFirst(), state.sequences)
        }
        guard let next else { throw NetlinkError("no answer was prepared", code: ENODATA) }
        var buffer = MessageBuffer()
        for answer in try next.get() { buffer.append(answer, to: sequences) }
        body(buffer.bytes)
        return true
    }
}

extension MessageBuffer {
    fileprivate mutating func append(_ answer: AnsweringPeer.Answer, to sequences: [UInt32]) {
        let last = sequences.last ?? 0
        switch answer {
        case .message(let type, let flags, let body):
            beginMessage(type: type, flags: flags, sequence: last)
            body(&self)
            endMessage()
        case .done(let flags): append(type: 3, flags, code: 0, last)
        case .error(let code): append(type: 2, 0, code: code, last)
        case .acknowledgements: for sequence in sequences { append(type: 2, 0, code: 0, sequence) }
        }
    }

    private mutating func append(type: UInt16, _ flags: UInt16, code: Int32, _ sequence: UInt32) {
        beginMessage(type: type, flags: flags, sequence: sequence)
        append(-code)
        endMessage()
    }
}
