"""The mean direction of SFace's descriptors: one image that is to pass as many people lies near it, a person's photo does not.

Of the normalised descriptors of the 1,548 faces in the images of LFW view 1's test, each the one nearest to the picture's centre
(2026-11-27). Their cosines to it: 0.325 in the median, 0.441 and 0.459 at 99 and 99.8 %, 0.477 at most.
"""

MEAN_BITS = 14
MEAN_INTEGERS = (  # times 2^14
    -3395, -1410, 1871, 1191, 2363, 1791, 708, 679, -2291, 234, -966, 1814, -319, 246, 795, -418, -2715, -835, -4500,
    218, 243, 244, 911, -919, 49, -1447, -595, -571, -270, -1113, -124, 2670, 573, -789, 661, 467, -1530, 1505, 896,
    -184, 1579, -1134, -784, 503, 892, -477, -1120, 1774, -731, 235, -1426, 946, 33, 797, -374, -1481, 1665, -954,
    -1201, 355, 26, 2574, -4358, 410, 801, -940, 531, -740, 312, -982, 2404, -808, -2, -1701, 1841, -1277, -937, -59,
    -3125, 283, -1280, 98, -1190, 313, -2372, -129, 1716, -1058, -560, -601, 207, 1711, 2942, 1536, -1560, -1717,
    -261, 1989, -796, -46, 243, -680, -1533, -2818, -228, -1665, -485, 901, 2483, -1422, 2125, -1498, -1600, -3, 2858,
    1489, -1590, -84, 1091, -478, -963, -2061, 2465, -647, 2103, -1712, -851, 1168,
)  # fmt: skip
MEAN = tuple(number / 2**MEAN_BITS for number in MEAN_INTEGERS)
MEAN_LIMIT = 0.474  # of the cosine to it; above, a photo is refused: one of 1,548 here
