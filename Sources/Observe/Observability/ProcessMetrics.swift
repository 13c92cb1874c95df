internal import Glibc

/// The process metrics that every Prometheus client exports.
package struct ProcessMetrics: Sendable {
    private let cpu = Counter("process_cpu_seconds_total", "CPU time in seconds.")
    private let resident = Gauge("process_resident_memory_bytes", "Resident memory.")
    private let virtual = Gauge("process_virtual_memory_bytes", "Virtual memory.")
    private let openFiles = Gauge("process_open_fds", "Open file descriptors.")
    private let maximumFiles = Gauge("process_max_fds", "The limit of open file descriptors.")
    private let started = Gauge("process_start_time_seconds", "When the process started.")

    var all: [any MetricFamily] {
        [cpu, resident, virtual, openFiles, maximumFiles, started]
    }

    /// Reads `/proc/self`.
    ///
    /// - Parameter time: the start of the process in seconds since 1970
    func update(started time: Double) {
        started.set(time)
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = { (time: timeval) in Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        cpu.replace(seconds(usage.ru_utime) + seconds(usage.ru_stime))
        var file = [UInt8](repeating: 0, count: 128)
        let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        if descriptor >= 0 {
            let count = read(descriptor, &file, file.count)
            close(descriptor)
            let pages = String(decoding: file.prefix(max(0, count)), as: UTF8.self)
                .split(separator: " ").compactMap { Double($0) }
            let page = Double(sysconf(Int32(_SC_PAGESIZE)))
            if pages.count > 1 {
                virtual.set(pages[0] * page)
                resident.set(pages[1] * page)
            }
        }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        maximumFiles.set(Double(limit.rlim_cur))
        openFiles.set(Double(Self.openDescriptors))
    }

    private static var openDescriptors: Int {
        guard let folder = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // Three entries do not count: this directory's own descriptor, "." and "..".
        return count - 3
    }
}
