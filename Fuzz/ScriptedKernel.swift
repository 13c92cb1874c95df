import Glibc
import Netlink
import Synchronization

/// A kernel whose answers the fuzzer writes.
///
/// Its input is a program that builds datagrams: messages with headers and nested attributes whose
/// lengths are right, so that readers get past them, except where an instruction makes them wrong.
/// After its end, requests get empty answers for a while, and then an error.
final class ScriptedKernel: NetlinkPeer {
    private struct State {
        var program: AnswerProgram
        /// The sequence numbers of the last request's messages.
        var sequences: ClosedRange<UInt32> = 0...0
        /// The type of the last request.
        var request: UInt16 = 0
        /// The datagrams that are still given after the end of the program.
        var patience = 40
    }

    private let state: Mutex<State>

    init(_ input: UnsafeRawBufferPointer) {
        state = Mutex(State(program: AnswerProgram(input)))
    }

    func take(_ request: UnsafeRawBufferPointer) throws(NetlinkError) {
        let messages = NetlinkMessages(request).map { ($0.type, $0.sequence) }
        guard let first = messages.first, let last = messages.last, first.1 <= last.1 else {
            return
        }
        state.withLock {
            $0.sequences = first.1...last.1
            $0.request = UInt16(truncatingIfNeeded: first.0)
        }
    }

    func receive(_ body: (UnsafeRawBufferPointer) -> Void) throws(NetlinkError) -> Bool {
        let datagram = state.withLock { state -> Result<[UInt8], NetlinkError> in
            if state.program.isAtEnd { state.patience -= 1 }
            guard state.patience > 0 else {
                return .failure(NetlinkError("receiving from the fuzzer", code: ECONNRESET))
            }
            return state.program.datagram(answering: state.request, state.sequences)
        }
        let bytes = try datagram.get()
        // Memory of exactly this size: the address sanitizer sees what reads beyond it.
        let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        defer { exact.deallocate() }
        exact.copyBytes(from: bytes)
        body(UnsafeRawBufferPointer(exact))
        return true
    }
}

/// Builds datagrams from the instructions in bytes.
struct AnswerProgram {
    private var input: ArraySlice<UInt8>
    private static let deepest = 12

    /// What a message begins with; other values are messages with attributes.
    private enum Step: UInt8 {
        /// The end of a dump, and of the datagram.
        case done
        /// The end of the datagram.
        case end
        case acknowledgements
        case error
        /// Receiving fails.
        case failure
        /// The end of a dump during which something has changed.
        case interrupted
        case overrun
    }

    /// What an attribute begins with; other values are numbers of 32 bits in network order.
    private enum Part: UInt8 {
        case end
        case nest
        case bytes
        case longBytes
        /// An attribute that says another length than it has.
        case damaged
        /// Bytes without the header of an attribute.
        case loose
        /// A text that ends with a zero.
        case text
    }

    private enum Kind {
        static let (error, done, overrun): (UInt16, UInt16, UInt16) = (2, 3, 4)
    }

    init(_ input: UnsafeRawBufferPointer) { self.input = Array(input)[...] }

    var isAtEnd: Bool { input.isEmpty }

    private mutating func byte() -> UInt8 { input.popFirst() ?? 0 }

    private mutating func short() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        defer { input = input.dropFirst(count) }
        return Array(input.prefix(count))
    }

    mutating func datagram(
        answering request: UInt16,
        _ sequences: ClosedRange<UInt32>
    ) -> Result<[UInt8], NetlinkError> {
        var datagram: [UInt8] = []
        func append(_ type: UInt16, _ flags: UInt16, _ sequence: UInt32, _ payload: [UInt8]) {
            datagram.append(number: UInt32(16 + payload.count))
            datagram.append(number: type)
            datagram.append(number: flags)
            datagram.append(number: sequence)
            datagram.append(number: UInt32(0))
            datagram += payload
            datagram.pad()
        }
        let sequence = sequences.upperBound
        while true {
            let head = byte()
            switch Step(rawValue: head) {
            case .done:
                append(Kind.done, 2, sequence, [0, 0, 0, 0])
                return .success(datagram)
            case .end: return .success(datagram)
            case .acknowledgements:
                for sequence in sequences.prefix(64) {
                    append(Kind.error, 0x100, sequence, error(0, sequence))
                }
            case .error:
                let (code, flags) = (byte(), short())
                // The first bit chooses whether it is about the first message or the last.
                let number = flags & 0x8000 == 0 ? sequence : sequences.lowerBound
                append(Kind.error, flags & 0x7FFF, number, error(code, number) + attributes())
            case .failure:
                return .failure(NetlinkError("receiving from the fuzzer", code: Int32(byte())))
            case .interrupted:
                append(Kind.done, 0x12, sequence, [0, 0, 0, 0])
                return .success(datagram)
            case .overrun: append(Kind.overrun, 0, sequence, [])
            case nil:
                let (type, flags, count) = (short(), short(), Int(byte()))
                let payload = bytes(count) + attributes()
                guard LibraryLayout.allows(answering: request, payload: payload) else { continue }
                append(type, flags, sequence, payload)
            }
        }
    }

    /// An error with the header of the message that it is about.
    private func error(_ code: UInt8, _ sequence: UInt32) -> [UInt8] {
        var payload: [UInt8] = []
        payload.append(number: -Int32(code))
        payload.append(number: UInt32(16))
        payload.append(number: UInt32(0))
        payload.append(number: sequence)
        payload.append(number: UInt32(0))
        return payload
    }

    private mutating func attributes(_ depth: Int = 0) -> [UInt8] {
        var result: [UInt8] = []
        func append(_ type: UInt8, _ value: [UInt8], length: UInt16? = nil) {
            result.append(number: length ?? UInt16(truncatingIfNeeded: 4 + value.count))
            result.append(number: UInt16(type))
            result += value
            result.pad()
        }
        while !input.isEmpty {
            let head = byte()
            switch Part(rawValue: head) {
            case .end: return result
            case .nest where depth < Self.deepest:
                let type = byte()
                append(type, attributes(depth + 1))
            case .nest: return result
            case .bytes: append(byte(), bytes(Int(byte())))
            case .longBytes: append(byte(), bytes(Int(short() & 0x0FFF)))
            case .damaged:
                let (type, length) = (byte(), short())
                append(type, bytes(Int(byte())), length: length)
            case .loose: result += bytes(Int(byte()))
            case .text: append(byte(), bytes(Int(byte())) + [0])
            case nil:
                let type = byte()
                append(type, [0, 0, 0, byte()])
            }
        }
        return result
    }
}

extension [UInt8] {
    /// Appends a number in the machine's order, as netlink's headers have it.
    fileprivate mutating func append(number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number) { append(contentsOf: $0) }
    }

    fileprivate mutating func pad() { while count % 4 != 0 { append(0) } }
}
