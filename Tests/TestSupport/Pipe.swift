internal import Glibc

/// Makes a pipe; the caller closes both ends.
///
/// - Parameter flags: of the end that is written, such as `O_NONBLOCK`
package func makePipe(_ flags: Int32 = 0) -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    pipe(&ends)
    _ = fcntl(ends[1], F_SETFL, flags)
    return (ends[0], ends[1])
}

/// Reads from a descriptor until a text has come, with what has come along.
package func text(from descriptor: Int32, until end: String) -> String {
    var bytes: [UInt8] = []
    var text = ""
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while !text.contains(end) {
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        guard count > 0 else { break }
        bytes += buffer[..<count]
        text = String(decoding: bytes, as: UTF8.self)
    }
    return text
}
