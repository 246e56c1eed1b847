using System.Globalization;

namespace Grpc.Wire;

/// <summary><c>grpc-timeout</c>: at most eight digits and a unit, one of H M S m u n.</summary>
internal static class TimeoutCoding
{
    private const int MaxDigits = 8;
    private const long MaxValue = 99_999_999;

    private static readonly (char Unit, long Ticks)[] Units =
    [
        ('u', TimeSpan.TicksPerMicrosecond),
        ('m', TimeSpan.TicksPerMillisecond),
        ('S', TimeSpan.TicksPerSecond),
        ('M', TimeSpan.TicksPerMinute),
        ('H', TimeSpan.TicksPerHour),
    ];

    /// <summary>The finest unit that fits, rounded up: a server must not give up before its client.</summary>
    public static string Encode(TimeSpan timeout)
    {
        foreach (var (unit, ticks) in Units)
        {
            var value = timeout.Ticks / ticks + (timeout.Ticks % ticks > 0 ? 1 : 0);
            if (value <= MaxValue)
            {
                return string.Create(CultureInfo.InvariantCulture, $"{Math.Max(value, 0)}{unit}");
            }
        }

        return $"{MaxValue}H";
    }

    public static bool TryDecode(string text, out TimeSpan timeout)
    {
        timeout = default;
        if (text.Length is < 2 or > MaxDigits + 1
            || !long.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var value))
        {
            return false;
        }

        if (text[^1] == 'n')
        {
            timeout = new TimeSpan((value + TimeSpan.NanosecondsPerTick - 1) / TimeSpan.NanosecondsPerTick);
            return true;
        }

        var index = Array.FindIndex(Units, unit => unit.Unit == text[^1]);
        if (index < 0)
        {
            return false;
        }

        timeout = new TimeSpan(value * Units[index].Ticks); // 99 999 999 hours are 11 416 years: no overflow
        return true;
    }
}
