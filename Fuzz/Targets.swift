import FoundationEssentials
import KubernetesModel
import ManifestSource
import NetworkTypes
import Netlink

/// libFuzzer's loop, by the name that SwiftPM gives a program's main function.
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

/// One input for every reader of foreign bytes; the first byte chooses the reader.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard let data, size > 1 else { return 0 }
    let input = UnsafeRawBufferPointer(start: data + 1, count: size - 1)
    switch data[0] % 4 {
    case 0: netlink(input)
    case 1: addresses(String(decoding: input, as: UTF8.self))
    case 2: json(Data(input))
    default: manifest(String(decoding: input, as: UTF8.self))
    }
    return 0
}

private func netlink(_ input: UnsafeRawBufferPointer) {
    for message in NetlinkMessages(input) {
        _ = (message.errorCode, message.errorText)
        for attribute in message.netfilterAttributes {
            _ = (attribute.text, attribute.word, attribute.bigEndianShort, attribute.address)
            for nested in attribute.nested { _ = nested.text }
        }
    }
}

private func addresses(_ text: String) {
    if let address = IPAddress(text) {
        precondition(IPAddress(address.description) == address, "an address is not read back")
    }
    if let prefix = IPPrefix(text) {
        precondition(IPPrefix(prefix.description) == prefix, "a prefix is not read back")
    }
}

private func json(_ data: Data) {
    _ = try? JSONDecoder().decode(KubernetesObjects.self, from: data)
}

private func manifest(_ text: String) {
    _ = try? ManifestReader(file: "fuzz").objects(in: text)
}
