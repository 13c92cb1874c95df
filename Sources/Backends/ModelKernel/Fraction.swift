/// An exact share, in lowest terms.
package struct Fraction: Sendable, Hashable {
    package let numerator: UInt128
    package let denominator: UInt128

    package static let zero = Fraction(0, 1)
    package static let one = Fraction(1, 1)

    package init(_ numerator: UInt128, _ denominator: UInt128) {
        precondition(denominator > 0, "a share of nothing")
        let divisor = Self.divisor(numerator, denominator)
        (self.numerator, self.denominator) = (numerator / divisor, denominator / divisor)
    }

    private static func divisor(_ left: UInt128, _ right: UInt128) -> UInt128 {
        var (left, right) = (left, right)
        while right != 0 { (left, right) = (right, left % right) }
        return left
    }

    /// So many of so many parts of it; nil if 128 bits cannot hold that.
    func part(_ count: Int, of total: Int) -> Fraction? {
        guard count != total else { return self }
        let share = Fraction(UInt128(count), UInt128(total))
        let above = numerator.multipliedReportingOverflow(by: share.numerator)
        let below = denominator.multipliedReportingOverflow(by: share.denominator)
        guard !above.overflow, !below.overflow else { return nil }
        return Fraction(above.partialValue, below.partialValue)
    }

    /// Nil if 128 bits cannot hold the sum.
    package func adding(_ other: Fraction) -> Fraction? {
        let factor = other.denominator / Self.divisor(denominator, other.denominator)
        let below = denominator.multipliedReportingOverflow(by: factor)
        guard !below.overflow else { return nil }
        let left = numerator.multipliedReportingOverflow(by: factor)
        let right = other.numerator.multipliedReportingOverflow(
            by: below.partialValue / other.denominator
        )
        let above = left.partialValue.addingReportingOverflow(right.partialValue)
        guard !left.overflow, !right.overflow, !above.overflow else { return nil }
        return Fraction(above.partialValue, below.partialValue)
    }
}

extension Fraction: CustomStringConvertible {
    package var description: String {
        denominator == 1 ? "\(numerator)" : "\(numerator)/\(denominator)"
    }
}
