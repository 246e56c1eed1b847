using Distributed.Engine.Kernels.Emission;
using static Distributed.Engine.Kernels.Emission.Register;

namespace Distributed.Engine.Tests.Kernels.Emission;

/// <summary>Each form that is emitted against the bytes that GNU as 2.40 gives for it.</summary>
public sealed class AssemblerTests
{
    [Fact]
    public void GeneralInstructions_HaveTheBytesOfGnuAs()
    {
        Check("53", code => code.Push(Rbx)); // push rbx
        Check("56", code => code.Push(Rsi)); // push rsi
        Check("5e", code => code.Pop(Rsi)); // pop rsi
        Check("5b", code => code.Pop(Rbx)); // pop rbx
        Check("c3", code => code.Return()); // ret
        Check("4889fe", code => code.Move(Rsi, Rdi)); // mov rsi, rdi
        Check("4889c8", code => code.Move(Rax, Rcx)); // mov rax, rcx
        Check("4d89cb", code => code.Move(R11, R9)); // mov r11, r9
        Check("488b4e08", code => code.Load(Rcx, new Address(Rsi, Displacement: 8))); // mov rcx, [rsi+8]
        Check("4c8b4e18", code => code.Load(R9, new Address(Rsi, Displacement: 24))); // mov r9, [rsi+24]
        Check("488b06", code => code.Load(Rax, new Address(Rsi))); // mov rax, [rsi]
        Check("4d8b1c4a", code => code.Load(R11, new Address(R10, Rcx, 2))); // mov r11, [r10+rcx*2]
        Check("4c895e38", code => code.Store(new Address(Rsi, Displacement: 56), R11)); // mov [rsi+56], r11
        Check("48898688000000", code => code.Store(new Address(Rsi, Displacement: 136), Rax)); // mov [rsi+136], rax
        Check("4c8d0449", code => code.LoadAddress(R8, new Address(Rcx, Rcx, 2))); // lea r8, [rcx+rcx*2]
        Check("4f8d1449", code => code.LoadAddress(R10, new Address(R9, R9, 2))); // lea r10, [r9+r9*2]
        Check("4d8d9b00040000", code => code.LoadAddress(R11, new Address(R11, Displacement: 1024))); // lea r11, [r11+1024]
        Check("48034640", code => code.Add(Rax, new Address(Rsi, Displacement: 64))); // add rax, [rsi+64]
        Check("4801d0", code => code.Add(Rax, Rdx)); // add rax, rdx
        Check("4883c040", code => code.Add(Rax, 64)); // add rax, 64
        Check("4883c340", code => code.Add(Rbx, 64)); // add rbx, 64
        Check("49ffcb", code => code.Decrement(R11)); // dec r11
        Check("48ffc8", code => code.Decrement(Rax)); // dec rax
        Check("48ff4e38", code => code.Decrement(new Address(Rsi, Displacement: 56))); // dec qword ptr [rsi+56]
        Check("4d85db", code => code.Test(R11)); // test r11, r11
        Check("48837e7800", code => code.Compare(new Address(Rsi, Displacement: 120), 0)); // cmp qword ptr [rsi+120], 0
        Check("0f1813", code => code.PrefetchToLevel2(new Address(Rbx))); // prefetcht1 [rbx]
        Check("0f18144b", code => code.PrefetchToLevel2(new Address(Rbx, Rcx, 2))); // prefetcht1 [rbx+rcx*2]
        Check("420f181403", code => code.PrefetchToLevel2(new Address(Rbx, R8))); // prefetcht1 [rbx+r8]
        Check("0f1893c0000000", code => code.PrefetchToLevel2(new Address(Rbx, Displacement: 192))); // prefetcht1 [rbx+192]
    }

    [Fact]
    public void VectorInstructions_HaveTheBytesOfGnuAs()
    {
        Check("c4e1f9904e28", code => code.LoadMask(new Address(Rsi, Displacement: 40))); // kmovd k1, dword ptr [rsi+40]
        Check("62e27e4852c4", code => code.DotBFloat16(16, 0, 4)); // vdpbf16ps zmm16, zmm0, zmm4
        Check("6222664852fd", code => code.DotBFloat16(31, 3, 21)); // vdpbf16ps zmm31, zmm3, zmm21
        Check("62e25e48520c08", code => code.DotBFloat16(17, 4, new Address(Rax, Rcx))); // vdpbf16ps zmm17, zmm4, [rax+rcx]
        Check("62a25e48521c00", code => code.DotBFloat16(19, 4, new Address(Rax, R8))); // vdpbf16ps zmm19, zmm4, [rax+r8]
        Check("62d20e40521a", code => code.DotBFloat16(3, 30, new Address(R10))); // vdpbf16ps zmm3, zmm30, [r10]
        Check("62f17c481022", code => code.LoadVector(4, new Address(Rdx))); // vmovups zmm4, [rdx]
        Check("62b17c48102c4a", code => code.LoadVector(5, new Address(Rdx, R9, 2))); // vmovups zmm5, [rdx+r9*2]
        Check("62417c48107b0f", code => code.LoadVector(31, new Address(R11, Displacement: 960))); // vmovups zmm31, [r11+960]
        Check("62417c4810bb00400000", code => code.LoadVector(31, new Address(R11, Displacement: 16384))); // vmovups zmm31, [r11+16384]
        Check("62c17c48114b01", code => code.StoreVector(new Address(R11, Displacement: 64), 17)); // vmovups [r11+64], zmm17
        Check("62d17c481103", code => code.StoreVector(new Address(R11), 0)); // vmovups [r11], zmm0
        Check("62f1ffc96f00", code => code.LoadVectorMasked(0, new Address(Rax))); // vmovdqu16 zmm0{k1}{z}, [rax]
        Check("62b1ffc96f1c00", code => code.LoadVectorMasked(3, new Address(Rax, R8))); // vmovdqu16 zmm3{k1}{z}, [rax+r8]
        Check("62a17d40efc0", code => code.Zero(16)); // vpxord zmm16, zmm16, zmm16
        Check("62f17d48efc0", code => code.Zero(0)); // vpxord zmm0, zmm0, zmm0
        Check("62a15c4858c0", code => code.AddVectors(16, 4, 16)); // vaddps zmm16, zmm4, zmm16
        Check("62915c4058c7", code => code.AddVectors(0, 20, 31)); // vaddps zmm0, zmm20, zmm31
        Check("62b37d4023e444", code => code.ShuffleQuarters(4, 16, 20, 0x44)); // vshuff32x4 zmm4, zmm16, zmm20, 0x44
        Check("6293754823c7dd", code => code.ShuffleQuarters(0, 1, 31, 0xDD)); // vshuff32x4 zmm0, zmm1, zmm31, 0xdd
        Check("62f17c48c6e188", code => code.ShuffleLanes(4, 0, 1, 0x88)); // vshufps zmm4, zmm0, zmm1, 0x88
        Check("62617c40c6c7ee", code => code.ShuffleLanes(24, 16, 7, 0xEE)); // vshufps zmm24, zmm16, zmm7, 0xee
        Check("c5f877", code => code.ZeroUpper()); // vzeroupper
    }

    /// <summary>Forwards and backwards, with a distance of 32 bits: a: jz b; jnz a; nop; jmp b; nop; b: ret.</summary>
    [Fact]
    public void Jumps_GoToTheirLabels()
        => Check("0f840d0000000f85f4ffffff90e90100000090c3", code =>
        {
            var (a, b) = (new Assembler.Label(), new Assembler.Label());
            code.Place(a);
            code.JumpIfZero(b);
            code.JumpIfNotZero(a);
            code.Align(13);
            code.Jump(b);
            code.Align(19);
            code.Place(b);
            code.Return();
        });

    private static void Check(string expected, Action<Assembler> emit)
    {
        var code = new Assembler();
        emit(code);
        Assert.Equal(expected, Convert.ToHexStringLower(code.ToArray()));
    }
}
