import FoundationEssentials

/// The readers of untrusted bytes, by the names that NEEDLETAIL_FUZZ_TARGET may have.
private let targets: [String: @Sendable (UnsafeRawBufferPointer) -> Void] = [
    // The API
    "frames": { frames(Array($0)) },
    "protobuf": { decode(Array($0), .protobuf) },
    "messages": { messages(Array($0)) },
    "json": { decode(Array($0), .json) },
    "answers": { answers(Array($0)) },
    "kubeconfig": { kubeconfig(String(decoding: $0, as: UTF8.self)) },
    "plugin": { plugin(Array($0)) },
    // Files and words
    "manifest": { manifest(String(decoding: $0, as: UTF8.self)) },
    "yaml": { yaml(String(decoding: $0, as: UTF8.self)) },
    "configuration": { configuration(String(decoding: $0, as: UTF8.self)) },
    "flags": { flags(String(decoding: $0, as: UTF8.self)) },
    "addresses": { addresses(String(decoding: $0, as: UTF8.self)) },
    "words": { words(String(decoding: $0, as: UTF8.self)) },
    "nodes": { nodes(String(decoding: $0, as: UTF8.self)) },
    "http": { http(Array($0)) },
    // The kernel
    "netlink": netlink,
    "tables": tables,
    "rtnetlink": rtnetlink,
    "conntrack": conntrack,
    "ipvs": ipvs,
    "ipsets": ipsets,
    "trace": trace,
    "xtables": xtables,
    "proc": { proc(Array($0)) },
]

private let target: @Sendable (UnsafeRawBufferPointer) -> Void = {
    let name = ProcessInfo.processInfo.environment["NEEDLETAIL_FUZZ_TARGET"] ?? ""
    guard let target = targets[name] else {
        fatalError("NEEDLETAIL_FUZZ_TARGET is one of \(targets.keys.sorted())")
    }
    return target
}()

/// Runs libFuzzer's loop; the name is the one that SwiftPM gives a program's main function.
@_cdecl("needletail_fuzz_main")
public func fuzz(
    _ count: CInt,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CInt {
    var (count, arguments) = (count, arguments)
    return runDriver(&count, &arguments, fuzzOneInput)
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    target(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
