internal import Glibc

/// A file that is written completely or not at all, and never through a link.
///
/// The text goes to a new file in the same folder, which is then renamed. So a user who can put a
/// link there cannot make this program overwrite another file.
struct NewFile {
    private let path: String

    init(_ path: String) { self.path = path }

    func write(_ text: String) throws {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            let kind = status.st_mode & S_IFMT == S_IFLNK ? "a symbolic link" : "not a regular file"
            throw Failure("\(path) is \(kind): nothing is written there; give another path")
        }
        let new = "\(path).\(UInt64.random(in: .min ... .max))"
        let file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw failure() }
        let isWritten =
            Glibc.write(file, text, text.utf8.count) == text.utf8.count && fsync(file) == 0
            && rename(new, path) == 0
        let error = errno
        close(file)
        guard isWritten else {
            unlink(new)
            throw failure(error)
        }
    }

    private func failure(_ code: Int32 = errno) -> Failure {
        Failure("\(path) cannot be written: \(String(cString: strerror(code)))")
    }
}
